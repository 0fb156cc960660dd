"""The end of a log file that is rotated by renaming, and what comes after a place in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 1024 * 1024
"""No more of a file is read at once."""
LINE = 4000
"""A longer line is cut (characters)."""


@dataclass(frozen=True)
class LogEnd:
    """Whole lines, and the place behind them: ``inode:offset``."""

    lines: list[str]
    cursor: str


def last(path: Path, count: int) -> LogEnd:
    """Return the last ``count`` lines, as far as they lie in the file's last :data:`PIECE_BYTES`."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        begin = max(0, stat.st_size - PIECE_BYTES)
        found = _read(file, begin, stat.st_ino)
    lines = found.lines[1:] if begin else found.lines  # the first may be half a line
    return LogEnd(lines[-count:], found.cursor)


def after(path: Path, cursor: str) -> LogEnd:
    """Return the lines behind the cursor, at most :data:`PIECE_BYTES` of them. The file of a cursor that is not this one was rotated
    away: then from this one's beginning."""
    inode, _, offset = cursor.partition(":")
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        begin = int(offset) if int(inode) == stat.st_ino and int(offset) <= stat.st_size else 0
        return _read(file, begin, stat.st_ino)


def _read(file: BinaryIO, begin: int, inode: int) -> LogEnd:
    file.seek(begin)
    text = file.read(PIECE_BYTES)
    whole = text[: text.rfind(b"\n") + 1] or (text if len(text) == PIECE_BYTES else b"")
    lines = [line.decode("utf-8", "replace").replace("\0", "\ufffd")[:LINE] for line in whole.splitlines()]
    return LogEnd(lines, f"{inode}:{begin + len(whole)}")
