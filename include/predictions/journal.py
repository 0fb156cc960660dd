"""What is not Parquet yet: rows as lines of JSON, each there before the gateway is told that it was taken.

A process killed at any moment leaves at most the end of a line that nobody was told of. A journal becomes segments of its own name: made
again after a kill they are the same files, and the journal goes only when they are there.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from include.predictions.segments import Row, partitioned, to_parquet
from include.predictions.store import Store

SUFFIX = ".jsonl"
_ID = re.compile(rb'\{"id": "([^"]*)"')
"""How a line begins: most lines need not be read to learn that they are not asked for."""


class Journal:
    """One file in ``folder`` that is being written, its owner's alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self.bytes, self.began_s = 0, time.monotonic()

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows. Raises OSError when they can't be (a full disk): the journal then holds none of them."""
        text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        written = 0
        try:
            while written < len(text):
                written += os.write(self._file, text[written:])
        except OSError:
            os.ftruncate(self._file, self.bytes)
            raise
        self.bytes += len(text)

    def close(self) -> None:
        """Put what was written on the disk, and write no more."""
        os.fsync(self._file)
        os.close(self._file)


def journals(folder: Path) -> list[Path]:
    """Return all journals, the oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def rows_of(path: Path, ids: Container[str] | None = None) -> list[Row]:
    """Return a journal's whole rows, of these ``ids`` alone where there are some; none when it has become segments meanwhile."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [json.loads(line) for line in lines if ids is None or ((found := _ID.match(line)) and found[1].decode() in ids)]


def convert(path: Path, store: Store) -> int:
    """Make a journal that nobody writes to into segments, and drop it. Returns how many rows it held. Raises what ``store`` raises."""
    rows = rows_of(path)
    for segment, mine in partitioned(rows, path.stem).items():
        store.put(segment, to_parquet(mine))
    path.unlink(missing_ok=True)
    return len(rows)


def keep(folder: Path, store: Store, rows: Sequence[Row]) -> None:
    """Keep rows as segments at once."""
    journal = Journal(folder)
    journal.append(rows)
    journal.close()
    convert(journal.path, store)
