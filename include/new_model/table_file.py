"""A file of data as the rows to look at, of any size, with how it has to be read and how it is put into a model's folder."""

from __future__ import annotations

import codecs
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from include.data.whole import frame_of
from include.errors import InputError
from include.new_model import dialect, sample
from include.new_model.sample import WIDE
from include.new_model.settle import settle
from include.runtime import untrusted
from include.spec.data import Csv

if TYPE_CHECKING:
    import pandas as pd

CSV, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
MAX_ROWS = 200_000
"""Rows that are looked at."""
CHUNK = 1 << 20
SPARE = 64 << 20
"""Bytes that stay free on the disk that a file of data is put on."""
_ELSE = {
    ".xlsx": "Save the sheet as CSV.",
    ".xls": "Save the sheet as CSV.",
    ".gz": "Unpack it.",
    ".zip": "Unpack it.",
    ".json": "Write it as CSV or Parquet.",
}


@dataclass(frozen=True)
class TableFile:
    """A look into a file: ``frame`` holds ``rows`` of about ``all_rows``; ``csv`` says how it is read (None: Parquet)."""

    path: Path
    frame: pd.DataFrame
    all_rows: int
    whole: bool
    csv: Csv | None
    header: dialect.Header | None
    notes: tuple[str, ...]

    @property
    def mended(self) -> bool:
        """Whether the copy in the model's folder has another header than the file."""
        return self.header is not None and bool(self.header.broken)

    @property
    def name(self) -> str:
        """What the file is called in the model's folder."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", self.path.stem).strip("_")[:60] or "data"
        return stem + (".csv" if self.csv is not None else ".parquet")


def look(path: Path, settings: Mapping[str, Any] | None = None, *, mend_header: bool = False) -> TableFile:
    """Look into the table in ``path``. ``settings`` are parts of ``data.csv`` that somebody knows; ``mend_header`` makes names usable that
    are missing or there twice. Raises InputError."""
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _parquet(path)
    if suffix not in CSV:
        raise InputError(f"{path.suffix or 'a file without suffix'} is no table.", where=path.name, remedy=_ELSE.get(suffix, _USE))
    return _csv(path, dict(settings or {}), mend_header)


_USE = "Use a .csv or a .parquet file."


def _csv(path: Path, settings: dict[str, Any], mend_header: bool) -> TableFile:
    found = sample.take(path)
    encoding: str = settings.get("encoding") or dialect.encoding_of(found.head + b"".join(found.blocks))
    try:
        head = dialect.text_of(found.head, encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise InputError(f"can't be read as {encoding}: {error}.", where=path.name, remedy="Name another encoding, or none.") from None
    separator: str = settings.get("separator") or dialect.separator_of(head)
    header = dialect.header_of(head, separator)
    if header.broken and not mend_header:
        remedy = f"Rename it, or have the model's copy renamed (RENAME=1): {', '.join(header.mended[:20])}."
        raise InputError(header.broken, where=f"{path.name}:1", remedy=remedy)
    names: tuple[str, ...] = header.mended if header.broken else header.names
    blocks = sample.fitting(found.blocks, encoding, separator, len(names))
    text = (line(names, separator) if header.broken else header.text) + head[len(header.text) :]
    raw = text.encode(encoding) + b"".join(blocks)
    try:
        known: dict[str, Any] = {"separator": separator, "encoding": encoding} | {key: value for key, value in settings.items() if value}
        first = Csv(**known)
    except ValueError as error:
        raise InputError(f"how it is written can't be used: {error}", where="data.csv", remedy="Correct it.") from None
    frame, notes, options = settle(Path(path.name), raw, first)
    if header.broken:
        notes.append(f"{header.broken} The model's copy says {', '.join(names[:20])}.")
    if not found.whole:
        looked = len(raw) / 2**20
        notes.append(f"{looked:.0f} MiB of {found.size / 2**20:.0f} were looked at: the file's head and {len(blocks)} places in it.")
    rows = len(frame) if found.whole else round(len(frame) * found.size / len(raw))
    return TableFile(path, _few(frame), rows, found.whole and len(frame) <= MAX_ROWS, options, header, tuple(notes))


def _parquet(path: Path) -> TableFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with untrusted.plain(path) as file:
            whole = pq.ParquetFile(file)
            rows, groups = whole.metadata.num_rows, whole.num_row_groups
            each = max(MAX_ROWS // max(groups, 1), 1)
            if rows <= MAX_ROWS:
                parts = list(whole.iter_batches(batch_size=MAX_ROWS))
            else:
                some = _spread(groups, MAX_ROWS // each)
                parts = [next(whole.iter_batches(batch_size=each, row_groups=[group])).slice(0, each) for group in some]
            frame = frame_of(pa.Table.from_batches(parts, whole.schema_arrow))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"is no readable Parquet file: {error}.", where=path.name, remedy="Write it again.") from None
    notes = () if len(frame) == rows else (f"{len(frame)} rows of {rows} were looked at: the first of each of its row groups.",)
    return TableFile(path, frame, rows, len(frame) == rows, None, None, notes)


def _spread(groups: int, most: int) -> list[int]:
    """At most so many of ``groups`` numbers, evenly."""
    few = min(groups, most)
    return [number * groups // few for number in range(few)]


def _few(frame: pd.DataFrame) -> pd.DataFrame:
    """Every n-th row where there are more than :data:`MAX_ROWS`."""
    step = -(-len(frame) // MAX_ROWS)
    return frame.iloc[::step].reset_index(drop=True) if step > 1 else frame


def line(names: tuple[str, ...], separator: str) -> str:
    """A header line."""
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerow(names)
    return out.getvalue()


def put(found: TableFile, to: Path) -> None:
    """Copy the file to ``to``, whatever its size, with the header that was settled on. Raises InputError for a disk that is too full, for
    bytes that are none of its encoding, and for a file that changes meanwhile."""
    size = found.path.stat().st_size
    if (free := shutil.disk_usage(to.parent).free) < size + SPARE:
        what = f"{size >> 20} MiB don't fit: {free >> 20} MiB are free."
        raise InputError(what, where=str(to.parent), remedy="Make room, or name a function of `data.py` that reads the data where it is.")
    with untrusted.plain(found.path) as source, to.open("xb") as out:
        decoder = None
        if found.csv is not None:
            mark, codec = _wire(source, found.csv.encoding)
            if found.header is not None and found.header.broken:
                source.seek(len(mark) + len(found.header.text.encode(codec)))
                out.write(mark + line(found.header.mended, found.csv.separator).encode(codec))
            decoder = codecs.getincrementaldecoder(codec)()
        _copy(source, out, decoder, found.path.name)
        if os.fstat(source.fileno()).st_size != size:
            raise InputError("changed while it was copied.", where=found.path.name, remedy="Try again once it is written.")


def _wire(source: BinaryIO, encoding: str) -> tuple[bytes, str]:
    """The byte order mark that the file begins with, and the codec of all that follows it."""
    first = source.read(4)
    source.seek(0)
    for mark, codec in (*WIDE, (codecs.BOM_UTF8, "utf-8")):
        if first.startswith(mark):
            return mark, codec
    return b"", encoding


def _copy(source: BinaryIO, out: BinaryIO, decoder: codecs.IncrementalDecoder | None, name: str) -> None:
    while True:
        chunk = source.read(CHUNK)
        if decoder is not None:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                place = f"about {source.tell() >> 20} MiB from its start"
                what = f"is not {error.encoding.upper()} all through: byte 0x{error.object[error.start]:02x} {place}."
                raise InputError(what, where=name, remedy="Save it as UTF-8, or name its encoding (ENCODING=cp1252).") from None
        if not chunk:
            return
        out.write(chunk)
