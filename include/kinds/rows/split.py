"""Which rows are held out: decided by each row's content alone, or by its time.

So a row never changes side between two snapshots, a champion trained earlier never saw today's held-out rows, equal rows fall on one
side, and a larger ``test_fraction`` only adds to the held-out rows. The content is all of the row's columns (not only the features, or a
change of features would move rows), taken by name, so the order of columns and rows does not count; 3, 3.0 and true ints of any width are
one value. Where columns are added or age, that content changes: a key (``data.key``) decides alone then.

By time (``data.time``), the latest rows are held out, and what lies within the gap before them is on neither side.

Rows that people labelled because the model finds them hard are never held out: they stand for no others.

The hash is a fixed function of numbers (splitmix64's finaliser, Steele et al., OOPSLA 2014) and of text (BLAKE2b), independent of the
platform and of pandas' own hashing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.data import zones
from include.data.origin import CHOSEN, ORIGIN
from include.errors import InputError
from include.spec.data import Data

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    U64 = npt.NDArray[np.uint64]

SPLIT = "split.json"
"""In a bundle: the spec's part ``data``, by which its snapshot was read and split."""
_MISSING = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Sides:
    """Which rows of a table are trained on and which are held out, both shape (rows,); some may be neither."""

    train: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


def sides(table: pd.DataFrame, data: Data) -> Sides:
    """The sides of the rows of ``table`` as the spec says. InputError when a key or a time is missing or can't be read."""
    import numpy as np

    found = _sides(table, data)
    if ORIGIN not in table.columns:
        return found
    chosen = (table[ORIGIN] == CHOSEN).to_numpy(dtype=bool)
    return Sides(np.asarray(found.train | chosen), np.asarray(found.test & ~chosen))


def _sides(table: pd.DataFrame, data: Data) -> Sides:
    if data.time is not None:
        return _by_time(table, data.time, data.test_fraction, data.gap)
    for name in data.key:
        if table[name].isna().any():
            rows = int(table[name].isna().sum())
            raise InputError(f"is missing in {rows} rows.", where=f"data.key: column {name!r}", remedy="Every row needs its key.")
    out = held_out(table, data.test_fraction, data.group, data.key)
    return Sides(~out, out)


def _by_time(table: pd.DataFrame, name: str, test_fraction: float, gap: float) -> Sides:
    import numpy as np

    when = moments(table[name])
    order = np.sort(when)
    first = order[min(int(np.ceil((1 - test_fraction) * len(order))), len(order) - 1)]
    return Sides(when < first - gap, when >= first)


def moments(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Days since 1970 of dates, or the numbers as they are."""
    import pandas as pd

    where, remedy = f"data.time: column {column.name!r}", "Give every row its time; `data.csv.dates` reads dates of another form."
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        when = column.astype("float64")
    else:
        try:
            dates = pd.to_datetime(column, utc=True, format="ISO8601")
        except (ValueError, TypeError) as error:
            raise InputError(f"holds what is neither a number nor a date: {str(error)[:120]}.", where=where, remedy=remedy) from None
        if not pd.api.types.is_datetime64_any_dtype(column.dtype):
            zones.check_alike(column, where)
        when = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    if when.isna().any():
        raise InputError(f"is missing in {int(when.isna().sum())} rows.", where=where, remedy=remedy)
    values: npt.NDArray[np.float64] = when.to_numpy(dtype="float64")
    return values


def held_out(table: pd.DataFrame, test_fraction: float, group: str | None = None, key: Sequence[str] = ()) -> npt.NDArray[np.bool_]:
    """True for each held-out row of ``table``, shape (rows,). With ``group``, rows that share that column's value share a side; with
    ``key``, these columns alone decide."""
    own = [name for name in map(str, table.columns) if name != ORIGIN]
    columns = [group] if group is not None else sorted(map(str, key)) or sorted(own)
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
