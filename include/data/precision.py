"""Which numbers a 32-bit float holds, and which need more: what the data says decides the types that a model is served with.

A column is *wide* when rounding its values to float32 would change what they say: the last decimal that they are written with (ids, Unix
seconds, amounts with cents, coordinates in centimetres), the number of distinct values, or more of their spread than arithmetic explains.
Wide columns are trained on and served as they are (INT64 or FP64), all others as float32 holds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from include.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

DECIMALS = 6
"""Decimals up to which a column counts as written in decimals; what has more was computed."""
SPREAD = 2.0**-12
"""Share of a computed column's standard deviation that rounding may take (seen in arithmetic itself: 2 ** -20)."""
SHOWN = 3


def wide_columns(table: pd.DataFrame, columns: Iterable[str]) -> frozenset[str]:
    """Those of ``columns`` that are numbers and lose something as float32."""
    return frozenset(name for name in columns if _is_number(table[name]) and wide(table[name]))


def wide(column: pd.Series[Any]) -> bool:
    """Whether rounding the numbers of ``column`` to float32 changes what they say."""
    import numpy as np

    values = _known(column)
    with np.errstate(over="ignore"):
        rounded = values.astype("float32").astype("float64")
    if (values == rounded).all():
        return False
    if not np.isfinite(rounded).all():
        return True
    for decimals in range(DECIMALS + 1):
        if (np.round(values, decimals) == values).all():
            return bool((np.round(rounded, decimals) != values).any())
    if len(np.unique(rounded)) < 0.99 * len(np.unique(values)):
        return True
    return bool(abs(values - rounded).max() > SPREAD * values.std())


def whole(column: pd.Series[Any]) -> bool:
    """Whether ``column`` is of a type of whole numbers or truth values, and none is missing."""
    from pandas.api import types

    return bool((types.is_integer_dtype(column.dtype) or types.is_bool_dtype(column.dtype)) and not column.isna().any())


def check_holds(column: pd.Series[Any], *, as_whole: bool) -> None:
    """InputError when different numbers of ``column`` become one in the widest type that it can be served with (INT64 or FP64)."""
    import pandas as pd

    if not pd.api.types.is_integer_dtype(column.dtype):
        return
    known = column.dropna()
    low, high = -(2**63), 2**63 - 1
    if as_whole and not column.isna().any() and (known.empty or (low <= int(known.min()) and int(known.max()) <= high)):
        return
    distinct = pd.unique(known)
    merged = pd.Series(distinct, dtype=object).groupby(pd.Series(distinct).astype("float64").to_numpy())
    lost = next((list(group) for _, group in merged if len(group) > 1), None)
    if lost is not None:
        raise InputError(
            f"holds numbers that no served type keeps apart: {', '.join(map(str, lost[:SHOWN]))} are one as a 64-bit float.",
            where=f"column {column.name!r}",
            remedy="If they are identifiers, read them as texts (`data.csv: {text: [...]}`, or astype(str) in the data source), "
            "or put the column in `data.exclude`.",
        )


def _is_number(column: pd.Series[Any]) -> bool:
    from pandas.api import types

    kind = column.dtype
    return bool(types.is_numeric_dtype(kind) and not types.is_complex_dtype(kind) and not types.is_bool_dtype(kind))


def _known(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import numpy as np

    values: npt.NDArray[np.float64] = column.to_numpy(dtype="float64", na_value=float("nan"))
    return values[np.isfinite(values)]
