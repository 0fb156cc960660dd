"""The whole check of a model's folder, as `python -m include.spec check` makes it: the spec, its files, its columns, its rules."""

from __future__ import annotations

from pathlib import Path

from include.data.validate import check_rules
from include.kinds.load import check_columns, load
from include.spec.schema import Spec


def check(file: Path) -> Spec:
    """The spec in ``file`` (a ``model.yaml``). Raises ``SpecError`` with what is wrong with it, its folder or its data."""
    spec = load(file)
    check_columns(file, spec)
    if spec.data.expectations is not None:
        check_rules([file.absolute().parent / spec.data.expectations])
    return spec
