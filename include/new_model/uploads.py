"""Files of data that people have sent and that no model has yet: each its sender's, bounded in size, gone after a day."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from include import atomic
from include.errors import InputError
from include.new_model.table_file import CSV, PARQUET, SPARE

KEPT_S = 24 * 3600
MOST = 20
"""Files that wait at once."""
WRITTEN = 1 << 20
"""Bytes that are written at once."""
OWNER = "owner.json"
ID = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,120}")


class TooLarge(InputError):
    """A file over the bound."""


class Uploads:
    """The files in ``folder``; none is over ``most_bytes``."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self.most_bytes = folder, most_bytes

    async def keep(self, name: str, owner: str, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Write what comes to disk as it comes; the id that it can be had by, and its bytes. Nothing is left of one that is refused."""
        _check_name(name)
        self._make_room()
        key, came = uuid.uuid4().hex, 0
        place = self._folder / key
        place.mkdir(mode=0o700)
        try:
            with (place / name).open("xb") as out:
                waiting = b""
                async for chunk in chunks:
                    came += len(chunk)
                    if came > self.most_bytes:
                        raise TooLarge(f"is over {self.most_bytes >> 20} MiB.", where=name, remedy=_ELSE)
                    waiting += chunk
                    if len(waiting) >= WRITTEN:
                        await asyncio.to_thread(out.write, waiting)  # a slow disk is no reason for others to wait
                        waiting = b""
                out.write(waiting)
            if not came:
                raise InputError("is empty.", where=name, remedy="Send the file as the request's body.")
            atomic.write(place / OWNER, json.dumps({"owner": owner, "name": name}))  # without it nobody is given the file
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return key, came

    def path(self, key: str, owner: str) -> Path:
        """The file that ``owner`` has sent. InputError when there is none."""
        with suppress(OSError, ValueError, KeyError):
            if ID.fullmatch(key):
                about = json.loads((self._folder / key / OWNER).read_text())
                if about["owner"] == owner:
                    return self._folder / key / str(about["name"])
        raise InputError("is no file that you have sent, or it is gone: they are kept for a day.", where="upload", remedy="Send it again.")

    def drop(self, key: str) -> None:
        """The file is needed no more."""
        shutil.rmtree(self._folder / key, ignore_errors=True)

    def _make_room(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting = []
        for place in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - place.stat().st_mtime > KEPT_S:
                    shutil.rmtree(place, ignore_errors=True)
                else:
                    waiting.append(place)
        if len(waiting) >= MOST:
            raise InputError(f"{MOST} files wait to become models.", where="upload", remedy="Wait until some of them are.")
        if shutil.disk_usage(self._folder).free < self.most_bytes + SPARE:
            raise InputError(f"less than {self.most_bytes >> 20} MiB are free.", where="the platform's disk", remedy=_ELSE)


_ELSE = "Put it into a data folder of the platform's (docs/new-model.md) and name it there."


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in (".", "..", OWNER) or len(os.fsencode(name)) > 240:
        raise InputError(f"{name[:60]!r} is no file's name.", where="name", remedy="Give the file's own name, without its folder.")
    suffix = Path(name).suffix.lower()
    if suffix not in (*CSV, *PARQUET):
        raise InputError(f"{name[-60:]!r} is no table.", where="name", remedy=f"Send one of {', '.join((*CSV, *PARQUET))}.")
