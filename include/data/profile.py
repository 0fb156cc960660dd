"""A small portrait of a table, for the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 200
"""Columns described one by one; the counts of the table are always of all."""
MAX_CLASSES = 20
BINS = 10


def describe(frame: pd.DataFrame, target: str | None = None) -> dict[str, Any]:
    """JSON-able: ``rows``, ``missing`` cells, ``duplicates`` (rows equal to an earlier one), ``columns`` by name, and the ``target``.

    A number column has min, mean, max; every column its type, ``missing`` and ``distinct``. The distribution is a list of
    ``{"value", "rows"}`` (the most frequent values) or, for a number with many values, of ``{"from", "to", "rows"}``.
    """
    out: dict[str, Any] = {
        "rows": len(frame),
        "missing": int(frame.isna().sum().sum()),
        "duplicates": int(frame.duplicated().sum()),
        "column_count": len(frame.columns),
        "columns": {name: column(frame[name]) for name in list(frame.columns)[:MAX_COLUMNS]},
    }
    if target is not None and target in frame.columns:
        out["target"] = {"name": target, "distribution": distribution(frame[target])}
    return out


def column(column: pd.Series[Any]) -> dict[str, Any]:
    """Describe one column: ``type``, ``missing`` and ``distinct``; of numbers also ``min``, ``mean``, ``max``."""
    import pandas as pd

    out: dict[str, Any] = {"type": str(column.dtype), "missing": int(column.isna().sum()), "distinct": int(column.nunique())}
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and column.notna().any():
        out |= {name: _finite(value) for name, value in (("min", column.min()), ("mean", column.mean()), ("max", column.max()))}
    return out


def _finite(value: Any) -> float | None:
    """JSON has no infinity."""
    return float(value) if math.isfinite(value) else None


def distribution(column: pd.Series[Any]) -> list[dict[str, Any]]:
    """Count a column's values, or those of ten ranges of them, as :func:`describe` says."""
    import numpy as np
    import pandas as pd

    known = column[np.isfinite(column)] if column.dtype.kind == "f" else column.dropna()
    number = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if not number or known.nunique() <= MAX_CLASSES:
        counts = known.value_counts().head(MAX_CLASSES).sort_index()
        return [{"value": value.item() if hasattr(value, "item") else value, "rows": int(n)} for value, n in counts.items()]
    rows, edges = np.histogram(known.astype(float), bins=BINS)
    return [{"from": float(a), "to": float(b), "rows": int(n)} for a, b, n in zip(edges, edges[1:], rows, strict=False)]
