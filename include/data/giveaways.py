"""Columns that tell the target by themselves: most likely they hold what is to be predicted, and no caller will know it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DISTINCT = 0.1
"""Share of the rows up to which a column's different values count as its own: identifiers tell everything, and nothing."""
EXACT = 1 - 1e-9
"""Correlation from which a number is the target itself, in other units."""


def giveaways(frame: pd.DataFrame, columns: Iterable[str], target: str) -> list[str]:
    """One sentence for each of ``columns`` whose value, or whether it has one, fixes ``target`` in every row."""
    from pandas.api import types

    goal = frame[target]
    numbers = types.is_float_dtype(goal.dtype) and goal.nunique() > DISTINCT * len(frame)
    if goal.nunique() < 2:
        return []
    tells = _is_the_same if numbers else _fixes
    return [
        f"column {name!r} alone tells {target!r} in every row: it may hold what is to be predicted, which no caller knows. "
        "`data.exclude` hides it."
        for name in columns
        if tells(frame[name], goal)
    ]


def _fixes(column: pd.Series[Any], goal: pd.Series[Any]) -> bool:
    from pandas.api import types

    missing = column.isna()
    if missing.any() and not missing.all() and (goal.groupby(missing).nunique() <= 1).all():
        return True  # the date of a cancellation, say, that only those have who have cancelled
    if column.dtype == object and types.infer_dtype(column, skipna=True) not in ("string", "boolean", "integer", "floating"):
        return False
    if not 1 < column.nunique(dropna=False) <= max(DISTINCT * len(column), goal.nunique()):
        return False
    return bool((goal.groupby(column, observed=True, dropna=False).nunique() <= 1).all())


def _is_the_same(column: pd.Series[Any], goal: pd.Series[Any]) -> bool:
    from pandas.api import types

    if not types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype) or column.nunique() < 3:
        return False
    return bool(abs(column.astype("float64").corr(goal.astype("float64"))) > EXACT)
