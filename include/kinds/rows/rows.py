"""Rows that a model learns from, or is judged by: their features beside what is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.kinds.rows import tags
from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Features ``x`` and target ``y`` of some rows; ``table`` holds all their columns (slices, group). All share one index 0..n-1."""

    x: pd.DataFrame
    y: pd.Series[Any]
    table: pd.DataFrame
    wide: frozenset[str] = frozenset()
    """Features that a float32 doesn't hold."""

    def __len__(self) -> int:
        return len(self.y)


def target(column: pd.Series[Any], task: Task) -> pd.Series[Any]:
    """Return what is right as floats, as labels (int64, or str objects), or as several labels in one text (include.kinds.rows.tags).

    InputError where it is missing, or of another kind."""
    import numpy as np
    from pandas.api import types

    where = f"target {column.name!r}"
    if column.isna().any():
        raise InputError(
            f"is missing in {int(column.isna().sum())} rows.", where=where, remedy="Drop or fill these rows in the data source."
        )
    if task is Task.MULTILABEL:
        return _several(column)
    number = types.is_numeric_dtype(column.dtype)
    if task is Task.REGRESSION:
        if not number or not np.isfinite(column.astype("float64")).all():
            raise InputError("is not a finite number in every row.", where=where, remedy="Regression needs numbers.")
        return column.astype("float64")
    if not number:
        return column.astype(str).astype(object)
    if not np.equal(np.mod(column.astype("float64"), 1), 0).all():
        raise InputError(
            "holds fractions, which are no class labels.", where=where, remedy="Use `task: regression`, or whole or text labels."
        )
    return column.astype("int64")


def _several(column: pd.Series[Any]) -> pd.Series[Any]:
    found = []
    for row, value in enumerate(column, 1):
        try:
            found.append(tags.read(value))
        except ValueError as error:
            remedy = f"Give each row a list of its labels, or a text with {tags.MARK!r} between them; an empty one where it has none."
            raise InputError(f"row {row}: {error}.", where=f"target {column.name!r}", remedy=remedy) from None
    return column.__class__(found, index=column.index, name=column.name, dtype=object)
