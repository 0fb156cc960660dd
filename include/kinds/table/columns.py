"""The columns that a table model's spec names, looked for in its file of data."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from include.data.columns import named_columns
from include.spec.document import Fault, FieldPath
from include.spec.files import is_entry
from include.spec.problem import nearest
from include.spec.schema import ModelSpec

SHOWN = 20
"""Columns that a remedy lists."""
MAX_HEADER = 1 << 20
"""Characters of a header that are read."""


def faults(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    """Yield every column that ``spec`` names and the header of its file in ``folder`` has not; nothing where there is no such file, or its
    header can't be read: extracting it says why."""
    there = None if is_entry(spec.data.source) else _header(folder / spec.data.source, spec)
    if there is None:
        return
    for field, names in named_columns(spec).items():
        for name in names:
            if name not in there:
                at: FieldPath = tuple(field.split("."))
                listed = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
                yield at, f"{spec.data.source} has no column {name!r}.", {"remedy": f"It has {listed}.", "nearest": nearest(name, there)}


def _header(path: Path, spec: ModelSpec) -> list[str] | None:
    try:
        if not path.is_file():
            return None
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
