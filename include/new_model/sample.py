"""A bounded part of a CSV file of any size: its head, and blocks out of the rest, cut at the ends of lines."""

from __future__ import annotations

import codecs
import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from include.data.csv_file import FIELD_LIMIT
from include.errors import InputError
from include.runtime import untrusted

WHOLE = 32 << 20
"""Bytes up to which a file is read whole."""
HEAD = 8 << 20
BLOCK, BLOCKS = 1 << 20, 24
"""Of a larger one: its first bytes, and so many blocks (bytes each), evenly over the rest: files are often sorted."""
WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Sample:
    """Whole lines of a file of ``size`` bytes: ``head``, which begins with the header, then ``blocks``; ``whole`` where this is all."""

    head: bytes
    blocks: tuple[bytes, ...]
    size: int

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return len(self.head) == self.size

    @property
    def bytes(self) -> int:
        """How much was read."""
        return len(self.head) + sum(map(len, self.blocks))


def take(path: Path, *, whole: int = WHOLE, head: int = HEAD, block: int = BLOCK) -> Sample:
    """The sample of ``path``: all of it up to ``whole`` bytes. Raises InputError for what can't be read, is empty, or has no line's end
    where one must be."""
    try:
        with untrusted.plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(whole if size <= whole else head)
            if not first.strip():
                raise InputError("is empty.", where=path.name, remedy="Write a header line and rows.")
            if size <= whole:
                return Sample(first, (), len(first))
            first = _to_line_end(first, path)
            if any(first.startswith(mark) for mark, _ in WIDE):  # a byte that ends a line may be half of a letter there
                return Sample(first, (), size)
            places = [head + number * (size - head) // BLOCKS for number in range(BLOCKS)]
            return Sample(first, tuple(filter(None, (_block(file, place, block) for place in places))), size)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"can't be read: {why}.", where=str(path), remedy="Create the file or correct the path.") from None


def _to_line_end(raw: bytes, path: Path) -> bytes:
    for mark, name in WIDE:
        if raw.startswith(mark):
            text = raw[len(mark) : len(raw) - len(raw) % 2].decode(name, errors="replace")
            return mark + text[: text.rfind("\n") + 1].encode(name)
    end = raw.rfind(b"\n") + 1
    if not end:
        raise InputError(f"has no end of a line in its first {len(raw) >> 20} MiB.", where=path.name, remedy="Write one row a line.")
    return raw[:end]


def _block(file: BinaryIO, place: int, length: int) -> bytes:
    """The whole lines of ``length`` bytes from ``place`` on; what is before the first line's end belongs to another line."""
    file.seek(place)
    raw = file.read(length)
    begin, end = raw.find(b"\n") + 1, raw.rfind(b"\n") + 1
    return raw[begin:end] if begin else b""


def fitting(blocks: tuple[bytes, ...], encoding: str, separator: str, fields: int) -> list[bytes]:
    """Those of ``blocks`` whose every record has so many ``fields``: one that begins inside a quoted text has others."""
    return [block for block in blocks if _fits(block, encoding, separator, fields)]


def _fits(block: bytes, encoding: str, separator: str, fields: int) -> bool:
    csv.field_size_limit(FIELD_LIMIT)
    try:
        text = block.decode(encoding)
        rows = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        return all(len(row) == fields for row in rows if row)
    except (csv.Error, UnicodeDecodeError):
        return False
