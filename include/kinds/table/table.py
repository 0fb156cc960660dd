"""The snapshot's table as a model sees it: features and target in the types that the served model will meet too.

* Numbers are rounded to what a float32 holds (and handed on as float64) where that changes nothing that they say: a request carries FP32,
so the model is trained and scored on exactly the values that it will be asked about. Columns that need more (``precision``) stay as they
are, and a request carries FP64 or INT64.
* Truth values are 0 and 1, whether one is missing or not: a missing one is a missing number.
* A missing text is the empty string: the protocol's BYTES has no null.
* Class labels are int64 or str: booleans become 0 and 1, whole floats become integers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data import precision
from include.data.columns import feature_columns, typed
from include.errors import InputError
from include.kinds.rows.rows import Rows, target
from include.kinds.rows.split import sides
from include.spec.schema import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


def split_rows(path: Path, spec: ModelSpec) -> tuple[Rows, Rows]:
    """``(train, test)`` rows of the table at ``path``; InputError when a side is empty or a column has a type no model can be served."""
    from include.data.table import read

    table = read(path, spec.data.csv)
    columns = feature_columns(spec.data, list(table.columns))
    split = sides(table, spec.data)
    if not split.train.any() or not split.test.any():
        side = "held-out" if split.train.any() else "training"
        raise InputError(
            f"no {side} row among {len(table)} rows.",
            where="data",
            remedy="Give more rows" + (", or a group column with more values." if spec.data.group else ", or another `test_fraction`."),
        )
    table = typed(table)
    x, wide = features(table, columns), wide_features(table, columns)
    return _rows(table, x, wide, split.train, spec), _rows(table, x, wide, split.test, spec)


def _rows(table: pd.DataFrame, x: pd.DataFrame, wide: frozenset[str], side: Any, spec: ModelSpec) -> Rows:
    own = table[side].reset_index(drop=True)
    return Rows(x[side].reset_index(drop=True), target(own[spec.data.target], spec.task), own, wide)


def features(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """``columns`` of ``table`` in the types of the module's convention; float64 all through when every one is a number.

    InputError names a column with numbers that no served type keeps apart."""
    import pandas as pd

    table = typed(table)
    numbers = all(pd.api.types.is_numeric_dtype(table[name].dtype) for name in columns)
    for name in columns:
        precision.check_holds(table[name], as_whole=not numbers)
    wide = wide_features(table, columns)
    frame = pd.DataFrame({name: _feature(table[name], name in wide) for name in columns}, index=table.index)
    return frame.astype("float64") if numbers else frame


def wide_features(table: pd.DataFrame, columns: list[str]) -> frozenset[str]:
    """Those of ``columns`` that a float32 doesn't hold."""
    return precision.wide_columns(typed(table), columns)


def _feature(column: pd.Series[Any], wide: bool) -> pd.Series[Any]:
    from pandas.api import types

    if types.is_bool_dtype(column.dtype) or types.is_integer_dtype(column.dtype):
        if precision.whole(column) and (types.is_bool_dtype(column.dtype) or column.empty or int(column.max()) < 2**63):
            return column.astype("int64")
        return column.astype("float64")
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return column.astype("float64") if wide else column.astype("float32").astype("float64")
    if types.is_string_dtype(column.dtype) or types.is_object_dtype(column.dtype):
        return column.map(lambda value: value if isinstance(value, str) else _text(value)).astype(object)
    raise InputError(
        f"has type {column.dtype}, which cannot be sent to a served model.",
        where=f"column {column.name!r}",
        remedy="Turn it into numbers or text in the data source, or list it in `data.exclude`.",
    )


def _text(value: object) -> str:
    import pandas as pd

    return "" if value is None or value is pd.NA or value != value else str(value)
