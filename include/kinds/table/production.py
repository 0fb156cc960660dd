"""Rows that callers sent and labels that came back, as rows to learn from beside those of the source."""

from __future__ import annotations

import json
import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from include.data.columns import feature_columns
from include.data.origin import ORIGIN, PRODUCTION, SOURCE
from include.monitoring.labelled import LABEL
from include.monitoring.rows import inputs_of
from include.spec.data import ProductionRows
from include.spec.schema import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


def added(frame: pd.DataFrame, rows: pd.DataFrame, spec: ModelSpec) -> tuple[pd.DataFrame, list[str]]:
    """Return ``frame`` with those of ``rows`` below it that have every feature and the label in the source's own types, and sentences about
    them. What a row lacks of the other columns is missing; what a caller sent wrongly fails no run.

    ``rows`` are as :func:`include.monitoring.labelled.labelled` has them. With as many as ``replace_source_at`` the source is left out.
    """
    import pandas as pd

    live, missing = fitting(frame, rows, spec)
    wanted = spec.data.production or ProductionRows()
    alone = wanted.replace_source_at is not None and len(live) >= wanted.replace_source_at
    source = frame if ORIGIN in frame.columns else frame.assign(**{ORIGIN: SOURCE})
    parts_of_it = [source.head(0 if alone else len(frame)), live.assign(**{ORIGIN: PRODUCTION})]
    both = pd.concat(parts_of_it, ignore_index=True)
    beside = "without the source" if alone else f"beside {len(frame)} of the source"
    notes = [f"{len(live)} labelled rows of production, of {wanted.days:g} days, are learnt from {beside}."]
    if missing:
        notes.append(f"No row of production has {', '.join(missing[:5])}: none is learnt from.")
    elif len(live) < len(rows):
        notes.append(f"{len(rows) - len(live)} others have other types than the source's columns, and are left out.")
    return both, notes


def fitting(frame: pd.DataFrame, rows: pd.DataFrame, spec: ModelSpec) -> tuple[pd.DataFrame, list[str]]:
    """Return those of ``rows`` (``inputs.<name>``, ``label`` as JSON) that have every feature and the label in the types of ``frame``,
    under its columns' names and with their own index; and the features that none of them has."""
    import pandas as pd

    features = feature_columns(spec.data, list(frame.columns))
    found = inputs_of(rows, features)
    missing = [name for name in features if name not in found.columns]
    parts = {name: _like(frame[name], found[name]) for name in features if name not in missing}
    parts[spec.data.target] = _like(frame[spec.data.target], rows[LABEL].map(json.loads))
    fit = pd.Series(not missing, index=rows.index)
    for name, (_, good) in parts.items():
        fit &= good if name != spec.data.target else good & parts[name][0].notna()
    return pd.DataFrame({name: values[fit] for name, (values, _) in parts.items()}), missing


def _like(column: pd.Series[Any], values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """``values`` in the type of the source's ``column``, and which of them fit."""
    import numpy as np
    import pandas as pd

    absent = values.isna()
    if pd.api.types.is_bool_dtype(column.dtype):
        good = values.map(lambda value: value in (0, 1) or _absent(value))
        return values.where(good & ~absent).map(bool, na_action="ignore"), good
    if pd.api.types.is_numeric_dtype(column.dtype):
        good = absent if column.isna().any() else pd.Series(False, index=values.index)
        if pd.api.types.is_integer_dtype(column.dtype):
            whole = pd.Series(pd.array([_whole(value) for value in values], dtype="Int64"), index=values.index)
            return whole, good | whole.notna()
        plain = values.map(lambda value: value if isinstance(value, int | float) else None)
        numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
        good |= pd.Series(np.isfinite(numbers.to_numpy()), index=values.index)
        return numbers.where(good), good
    good = absent | values.map(lambda value: isinstance(value, str))
    return values.where(good), good


def _whole(value: Any) -> int | None:
    """The whole number of 64 bits that ``value`` is, or None. A float holds each of them below 2**53 alone."""
    if isinstance(value, Integral):
        return int(value) if -(2**63) <= int(value) < 2**63 else None
    number = float(value) if isinstance(value, Real) else math.nan
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def _absent(value: Any) -> bool:
    """Whether a scalar is missing."""
    return value is None or value != value
