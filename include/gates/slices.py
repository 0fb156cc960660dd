"""Parts of the held-out rows by the values of a column, so that an average cannot hide a group that is served badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

MOST_VALUES = 50
"""A column's most frequent values that are shown."""
MOST_NUMBERS = 12
"""A number with more distinct values than this is cut at its quartiles."""


def slices(column: pd.Series[Any]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """``(value, mask)`` of each part of ``column``, largest first; missing values are a part named ``missing``."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype) and column.nunique() > MOST_NUMBERS:
        column = pd.qcut(column, 4, duplicates="drop")
    names = column.astype(object).where(column.notna(), "missing").map(str)
    return [(str(name), (names == name).to_numpy()) for name in sorted(names.value_counts().head(MOST_VALUES).index, key=_by_size(names))]


def _by_size(names: pd.Series[Any]) -> Any:
    counts = names.value_counts()
    return lambda name: (-int(counts[name]), name)
