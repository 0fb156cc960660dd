"""Backups in a folder of this machine, or of one that is mounted here; its owner's alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from include import atomic
from include.backup.store import Content, content_name
from include.errors import ComponentError

PIECE_BYTES = 1 << 20
WORK = ".work"
"""Where contents are that are not whole yet. What a killed backup has left there goes with the next sweep."""


class Folder:
    """See :class:`include.backup.store.Files`."""

    def __init__(self, root: Path) -> None:
        self._root, self.where = root, str(root)

    def size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._written():
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic.write(self._root / name, data)

    def put(self, source: BinaryIO, folder: str) -> tuple[str, int]:
        with self._written():
            work = self._root / folder / WORK
            work.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = work / uuid.uuid4().hex
            digest, size = hashlib.sha256(), 0
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    while piece := source.read(PIECE_BYTES):
                        digest.update(piece)
                        size += file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                target = self._root / content_name(folder, digest.hexdigest())
                target.parent.mkdir(mode=0o700, exist_ok=True)
                part.rename(target)
            finally:
                part.unlink(missing_ok=True)
            return digest.hexdigest(), size

    def fetch(self, name: str, target: BinaryIO) -> None:
        with (self._root / name).open("rb") as source:
            shutil.copyfileobj(source, target, PIECE_BYTES)

    def folders(self, name: str) -> list[str]:
        folder = self._root / name
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def contents(self, folder: str) -> Iterator[Content]:
        now = time.time()
        for path in (self._root / folder).glob("??/*"):
            found = path.stat()
            yield Content(path.name, found.st_size, now - found.st_mtime)
        for path in (self._root / folder / WORK).glob("*"):
            if now - path.stat().st_mtime > 24 * 3600:
                path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        path = self._root / name
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            return  # others are left in it

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "Make room there, or name another place (TO=...). What was backed up before is as it was."
            raise ComponentError(f"could not be written ({error}).", where=self.where, remedy=remedy) from error
