"""Which columns of a table a model sees, and of what types they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.data.origin import ORIGIN
from include.errors import InputError
from include.spec.data import Data
from include.spec.schema import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


def named_columns(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns that ``spec`` names, by the field that names them."""
    data = spec.data
    found: dict[str, tuple[str, ...]] = {"data.target": (data.target,), "data.group": (data.group,) if data.group else ()}
    found |= {"data.key": data.key, "data.time": (data.time,) if data.time else ()}
    # The platform's own column is there once rows of production, or labelled ones, are.
    own = data.production is not None or getattr(spec, "label", None) is not None
    slices = tuple(name for name in spec.gate.slices if name != ORIGIN or not own)
    found |= {"data.features": data.features or (), "data.exclude": data.exclude, "gate.slices": slices}
    return found


def feature_columns(data: Data, columns: list[str]) -> list[str]:
    """Return the columns that the model sees, in order: ``data.features``, or all but the target, the group, the key, the time and the
    excluded ones."""
    asked = (data.target, *(data.features or ()), *data.exclude, *data.key, *filter(None, [data.group, data.time]))
    missing = [name for name in asked if name not in columns]
    if missing:
        raise InputError(f"the table has no column {', '.join(map(repr, missing))}.", where="data", remedy=f"It has {', '.join(columns)}.")
    if data.features is not None:
        return list(data.features)
    hidden = {data.target, data.group, data.time, *data.key, *data.exclude, ORIGIN}
    found = [name for name in columns if name not in hidden]
    if not found:
        raise InputError("no column is left for the model to see.", where="data.exclude", remedy="Exclude fewer columns.")
    return found


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with columns that only a missing value, or being a category, has made objects given the type of their values."""
    import pandas as pd

    changed: dict[str, pd.Series[Any]] = {}
    for name in table.columns:
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = changed[name] = column.astype(column.cat.categories.dtype)
        if column.dtype == object and len(column):
            kind = pd.api.types.infer_dtype(column, skipna=True)
            if kind == "boolean":
                changed[name] = column.astype("boolean")
            elif kind in ("integer", "floating", "mixed-integer-float", "decimal"):
                whole = kind == "integer" and column.dropna().map(lambda value: -(2**63) <= value < 2**63).all()
                changed[name] = column.astype("Int64") if whole else column.astype("float64")
    return table.assign(**changed) if changed else table
