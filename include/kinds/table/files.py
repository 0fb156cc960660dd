"""The files that a table model's spec names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from include.kinds.rows.faults import data_files, metric_file
from include.spec.document import Fault
from include.spec.files import entry_fault
from include.spec.label_faults import label_files
from include.spec.schema import ModelSpec


def faults(spec: ModelSpec, folder: Path) -> Iterator[Fault]:
    """Yield every file or entry point of ``spec`` that is not as it must be in ``folder``."""
    yield from data_files(spec.data, folder)
    yield from metric_file(spec, folder)
    yield from entry_fault(("train", "entry"), spec.train.entry, folder, arguments=3)
    yield from label_files(spec, folder)
