"""Rows that people may be asked about: of a file, of a snapshot or of what callers sent, but for those that are labelled."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from include.data.origin import ORIGIN
from include.labels.tasks import key_of, plain

if TYPE_CHECKING:
    import pandas as pd

MOST_ASKED = 2000
"""Rows that the model is asked about in a round, a sample of all: what is chosen is chosen of these."""
Row = Mapping[str, Any]


def of_table(frame: pd.DataFrame, model: str, target: str) -> dict[str, Row]:
    """Return a table's rows by their keys, without the target; of equal rows one."""
    rest = frame[[name for name in map(str, frame.columns) if name not in (target, ORIGIN)]]
    rows = ({name: plain(value) for name, value in row.items()} for row in rest.to_dict("records"))
    return {key_of(model, row): row for row in rows}


def of_log(logged: pd.DataFrame, features: list[str], model: str, labelled: Collection[str]) -> tuple[dict[str, Row], dict[str, str]]:
    """Return the rows of the prediction log that were answered and have no label yet, by their keys, and the ids of their requests.
    ``labelled``: ids that feedback has told of. Of equal rows the last counts."""
    from include.monitoring.rows import inputs_of

    live = logged[(logged["status"] == 200) & (logged["kind"] == "live") & ~logged["id"].isin(list(labelled))]
    inputs = inputs_of(live, features)
    rows: dict[str, Row] = {}
    ids: dict[str, str] = {}
    for identity, values in zip(live["id"], inputs.to_dict("records"), strict=True):
        row = {str(name): plain(value) for name, value in values.items()}
        key = key_of(model, row)
        rows[key], ids[key] = row, str(identity)
    return rows, ids


def sampled(rows: Mapping[str, Row], known: Collection[str], seed: str) -> dict[str, Row]:
    """Return up to :data:`MOST_ASKED` of the rows whose keys are not ``known``, drawn at random."""
    keys = sorted(set(rows) - set(known))
    random.Random(seed).shuffle(keys)
    return {key: rows[key] for key in keys[:MOST_ASKED]}
