"""How strange a row is beside those that the model has learnt from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TAIL = 0.005
"""Part of the known values at either end of a number's range that count as rare."""
ENOUGH = 20
"""Columns of numbers with fewer different values are held against these values, as texts are."""


def strangeness(rows: Sequence[Mapping[str, Any]], known: pd.DataFrame, features: Sequence[str]) -> list[float]:
    """Return for each row the share of its features, 0..1, whose value the ``known`` rows have hardly or never.

    Numbers beyond all but half a percent of theirs at either end, other values that are not among theirs; a missing value where none of
    theirs is missing.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(features))
    total = pd.Series(0.0, index=frame.index)
    for name in features:
        total += _strange(frame[name], known[name]).astype(float)
    return [float(value) for value in total / max(len(features), 1)]


def _strange(column: pd.Series[Any], known: pd.Series[Any]) -> pd.Series[bool]:
    import pandas as pd

    absent = column.isna()
    if pd.api.types.is_numeric_dtype(known.dtype) and known.nunique() >= ENOUGH:
        low, high = known.quantile(TAIL), known.quantile(1 - TAIL)
        values = pd.to_numeric(column, errors="coerce")
        odd = (values < low) | (values > high) | (values.isna() & ~absent)
    else:
        odd = ~column.map(_said).isin(set(known.dropna().map(_said))) & ~absent
    return odd | (absent & bool(known.notna().all()))


def _said(value: Any) -> str:
    """A value as a text: 1, 1.0 and True are one."""
    if isinstance(value, bool):
        return str(int(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
