"""Logged rows beside what was right for them: what a model may learn from, besides its source. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from include.monitoring.rows import INPUTS

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
"""Column of the labels, each as JSON: one column of a Parquet file holds one type."""


def labelled(logged: pd.DataFrame, labels: pd.DataFrame, most_rows: int) -> pd.DataFrame:
    """Join a log with its labels (frames of :mod:`include.predictions`): ``time``, ``inputs.<name>``, ``label``, the newest last.

    Of rows that were answered, live, and labelled, the ``most_rows`` newest.
    """
    rows = logged[(logged["status"] == 200) & (logged["kind"] == "live")]
    rows = rows.merge(labels[["id", LABEL]].dropna().drop_duplicates("id", keep="last"), on="id").sort_values(["time", "id"])
    named = [name for name in rows.columns if str(name).startswith(INPUTS)]
    rows = rows[["time", *named, LABEL]].tail(most_rows).reset_index(drop=True)
    return rows.assign(**{LABEL: rows[LABEL].map(json.dumps)})
