"""The rows of a tensor model: read from what the step `extract` has kept, and divided into those to learn from and those to judge by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data.columns import feature_columns
from include.data.origin import check_free
from include.data.table import MIN_ROWS, read
from include.errors import InputError
from include.kinds.rows import tags
from include.kinds.rows.rows import Rows, target
from include.kinds.rows.split import sides
from include.kinds.tensor.columns import check_texts, plain
from include.kinds.tensor.spec import TensorSpec
from include.spec.problem import nearest
from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd


def check(table: pd.DataFrame, spec: TensorSpec) -> None:
    """Raise InputError unless ``table`` has the columns that ``spec`` names, rows enough, and a target that varies."""
    columns = [str(name) for name in table.columns]
    named = [("data.target", spec.data.target), *(("data.images", name) for name in spec.data.images)]
    named += [("data.texts", name) for name in spec.data.texts]
    named += [("gate.slices", name) for name in spec.gate.slices]
    for field, name in named:
        if name not in columns:
            near = nearest(name, columns)
            remedy = (f"Did you mean {near!r}? " if near else "") + f"It has {', '.join(columns[:20])}."
            raise InputError(f"the data has no column {name!r}.", where=field, remedy=remedy)
    feature_columns(spec.data, columns)
    check_texts(table, spec.data)
    check_free(columns)
    if len(table) < MIN_ROWS:
        raise InputError(f"{len(table)} row(s) are too few to split.", where="data", remedy=f"At least {MIN_ROWS} are needed.")
    found = target(table[spec.data.target], spec.task)
    if found.nunique() < 2:
        what = f"holds only {str(found.iloc[0])[:60]!r}."
        raise InputError(what, where=f"target {spec.data.target!r}", remedy="There is nothing to learn: get data that varies.")


def split_rows(path: Path, spec: TensorSpec) -> tuple[Rows, Rows]:
    """Return the ``(train, test)`` rows of the table at ``path``; InputError when a side is empty, or has no row of a class."""
    table = read(path)
    split = sides(hashable(table), spec.data)
    if not split.train.any() or not split.test.any():
        side = "held-out" if split.train.any() else "training"
        raise InputError(f"no {side} row among {len(table)} rows.", where="data", remedy="Give more rows, or another `test_fraction`.")
    train, test = (_rows(table[side].reset_index(drop=True), spec) for side in (split.train, split.test))
    if spec.task is not Task.REGRESSION and spec.base is None and (unlearnt := sorted(_labels(test, spec) - _labels(train, spec))):
        what = f"no training row is of the class {', '.join(unlearnt[:5])}, and held-out rows are."
        raise InputError(what, where=f"target {spec.data.target!r}", remedy="Give more rows of it, or leave it out of the data.")
    return train, test


def _labels(rows: Rows, spec: TensorSpec) -> set[str]:
    several = spec.task is Task.MULTILABEL
    return {label for text in map(str, rows.y) for label in (tags.parts(text) if several else [text])}


def hashable(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` with arrays as texts: a row's side is decided by its content, and pictures are decided by their bytes."""
    arrays = [name for name in table.columns if table[name].dtype == object and table[name].map(_is_array).any()]
    return table.assign(**{name: table[name].map(lambda value: repr(plain(value))) for name in arrays})


def _is_array(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _rows(table: pd.DataFrame, spec: TensorSpec) -> Rows:
    return Rows(table[feature_columns(spec.data, list(table.columns))], target(table[spec.data.target], spec.task), table)
