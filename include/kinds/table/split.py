"""Which rows are held out: decided by each row's content alone.

So a row never changes side between two snapshots, a champion trained earlier never saw today's held-out rows, equal rows fall on one
side, and a larger ``test_fraction`` only adds to the held-out rows. The content is all of the row's columns (not only the features, or a
change of features would move rows), taken by name, so the order of columns and rows does not count; 3, 3.0 and true ints of any width are
one value.

The hash is a fixed function of numbers (splitmix64's finaliser, Steele et al., OOPSLA 2014) and of text (BLAKE2b), independent of the
platform and of pandas' own hashing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    U64 = npt.NDArray[np.uint64]

_MISSING = 0x9E3779B97F4A7C15


def held_out(table: pd.DataFrame, test_fraction: float, group: str | None = None) -> npt.NDArray[np.bool_]:
    """True for each held-out row of ``table``, shape (rows,). With ``group``, rows that share that column's value share a side."""
    columns = [group] if group is not None else sorted(map(str, table.columns))
    draw = (row_hashes(table[columns]) >> 11).astype("float64") / 2.0**53
    side: npt.NDArray[np.bool_] = draw < test_fraction
    return side


def row_hashes(table: pd.DataFrame) -> U64:
    """A 64-bit hash of each row's values and column names, shape (rows,)."""
    import numpy as np

    total = np.zeros(len(table), dtype=np.uint64)
    for name in table.columns:
        total += _mix(_column(table[name]) ^ np.uint64(_digest(f"column {name}".encode())))
    return _mix(total)


def _mix(x: U64) -> U64:
    import numpy as np

    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _column(column: pd.Series[Any]) -> U64:
    from pandas.api import types

    if isinstance(column.dtype, types.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if types.is_datetime64_any_dtype(column.dtype):
        column = column.map(lambda moment: None if moment is None or moment != moment else moment.isoformat()).astype(object)
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return _numbers(column.to_numpy(dtype="float64", na_value=float("nan")))
    return _objects(column)


def _numbers(values: npt.NDArray[np.float64]) -> U64:
    import numpy as np

    # Adding 0.0 turns -0.0 into 0.0, so that equal numbers have equal bits.
    bits = (values + 0.0).view(np.uint64)
    return _mix(np.where(np.isnan(values), np.uint64(_MISSING), bits))


def _objects(column: pd.Series[Any]) -> U64:
    import numpy as np
    import pandas as pd

    codes, unique = pd.factorize(column.astype(object))
    # Code -1 is a missing value; it indexes the last entry, added here.
    hashes = np.array([_object(value) for value in unique] + [_object(None)], dtype=np.uint64)
    own: U64 = hashes[codes]
    return own


def _object(value: object) -> int:
    import numpy as np

    if isinstance(value, (bool, int, float, np.number, np.bool_)) or value is None:
        return int(_numbers(np.array([np.nan if value is None else float(value)]))[0])
    return _digest(value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass"))
