"""A table model's file of data, where it is at hand: whether it has the columns that the spec names, and can be read as a run reads it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from include.data import table
from include.data.columns import named_columns
from include.errors import InputError
from include.spec.document import Fault, FieldPath
from include.spec.files import is_entry, is_query
from include.spec.problem import nearest
from include.spec.schema import ModelSpec

SHOWN = 20
"""Columns that a remedy lists."""
MAX_HEADER = 1 << 20
"""Characters of a header that are read."""
MAX_READ = 256 << 20
"""Bytes of a file that is read whole: a larger one is for the run to look through."""


def faults(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    """Yield every column that ``spec`` names and the header of its file in ``folder`` has not, else the first fault of what is in the file;
    nothing where there is no such file, or a function or a query makes the table."""
    path = folder / spec.data.source
    if is_entry(spec.data.source) or is_query(spec.data.source) or not path.is_file():
        return
    missing = list(_missing(spec, _header(path, spec) or []))
    yield from missing
    if missing or path.stat().st_size > MAX_READ:
        return
    try:
        table.check(table.read(path, spec.data.csv), spec)
    except InputError as error:
        place = error.where.removeprefix(str(path)).lstrip(": ")
        what = error.what if not place else f"{place}: {error.what}"
        yield ("data", "source"), f"{spec.data.source}: {what}", {"remedy": error.remedy}


def _missing(spec: ModelSpec, there: list[str]) -> Iterator[Fault]:
    """The columns that are named and not ``there``; nothing where none are known."""
    for field, names in named_columns(spec).items() if there else ():
        for name in names:
            if name not in there:
                at: FieldPath = tuple(field.split("."))
                listed = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
                yield at, f"{spec.data.source} has no column {name!r}.", {"remedy": f"It has {listed}.", "nearest": nearest(name, there)}


def _header(path: Path, spec: ModelSpec) -> list[str] | None:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        encoding = "utf-8-sig" if spec.data.csv.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else spec.data.csv.encoding
        with path.open(encoding=encoding, newline="") as lines:
            found = next(csv.reader([lines.readline(MAX_HEADER)], delimiter=spec.data.csv.separator), [])
    except (OSError, ValueError, LookupError, ImportError, csv.Error):
        return None
    # One field may be a header with another separator, which is told by its own name.
    return found if len(found) > 1 else None
