"""The files that a table model's spec names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from include.spec.document import Fault, FieldPath
from include.spec.files import entry_fault, file_fault, is_entry
from include.spec.schema import ModelSpec

TABLES = (".csv", ".parquet")


def faults(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    """Yield every file or entry point of ``spec`` that is not as it must be in ``folder``."""
    source: FieldPath = ("data", "source")
    if is_entry(spec.data.source):
        yield from entry_fault(source, spec.data.source, folder, arguments=0)
    elif Path(spec.data.source).suffix not in TABLES:
        remedy = "Name `module:function` of a Python file in the model's folder, or a .csv or .parquet file there."
        yield source, f"{spec.data.source[:80]!r} is neither a function nor a table.", {"remedy": remedy}
    else:
        yield from file_fault(source, spec.data.source, folder)
    yield from file_fault(("data", "expectations"), spec.data.expectations, folder)
    yield from entry_fault(("train", "entry"), spec.train.entry, folder, arguments=3)
