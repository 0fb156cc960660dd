"""What is answered of one shard, line by line on disk as it comes: whoever is killed, the next one goes on behind the last whole line."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

Record = Mapping[str, Any]
"""``number`` of the item, and its answer (``answer``, ...) or its failure (``error``)."""


class Ledger:
    """One shard's records in ``path``, for one writer at a time: another waits until the first has ended, however it does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Ledger:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        records, whole = _whole(self._path.read_bytes())
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
        self._numbers = {int(record["number"]) for record in records}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    @property
    def numbers(self) -> frozenset[int]:
        """The items that have their record."""
        return frozenset(self._numbers)

    def add(self, record: Record) -> None:
        """On disk when this returns; an item's second record is left out."""
        number = int(record["number"])
        if number in self._numbers:
            return
        rest = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)
        self._numbers.add(number)


def records(path: Path) -> list[Record]:
    """The records of a shard in the items' order; none when it was never begun."""
    try:
        found, _ = _whole(path.read_bytes())
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda record: int(record["number"]))


def _whole(text: bytes) -> tuple[list[Record], int]:
    """The records before the first line that is not whole, and how many bytes they are."""
    found: list[Record] = []
    at = 0
    for line in text.splitlines(keepends=True):
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            record = None
        if not isinstance(record, dict) or "number" not in record:
            break
        found.append(record)
        at += len(line)
    return found, at
