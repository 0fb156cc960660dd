"""What people have labelled in Label Studio, as rows to learn from beside those of the source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from include.data.columns import feature_columns
from include.data.origin import CHOSEN, LABELLED, ORIGIN, SOURCE
from include.kinds.rows.split import row_hashes
from include.kinds.table.production import fitting
from include.monitoring.labelled import LABEL
from include.monitoring.rows import INPUTS
from include.spec.schema import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

AT_RANDOM = ("control", "random")
"""The arms whose rows stand for all rows."""


def labelled(frame: pd.DataFrame, labels: pd.DataFrame, spec: ModelSpec) -> tuple[pd.DataFrame, list[str]]:
    """Return ``frame`` with what people said of its rows in place of what it says, and with the other labelled rows below; and sentences
    about them. ``labels`` are as :mod:`include.labels.kept` keeps them. A row whose label is disputed, or which lacks a feature, is
    left out."""
    import pandas as pd

    source = frame.assign(**{ORIGIN: SOURCE})
    known = labels[labels["label"].notna()].reset_index(drop=True)
    if not len(known):
        return source, ["People have labelled no row yet."]
    rows = pd.DataFrame([json.loads(row) for row in known["row"]]).add_prefix(INPUTS).assign(**{LABEL: known["label"]})
    fit, missing = fitting(frame, rows, spec)
    fit = fit.astype({name: frame[name].dtype for name in fit.columns if pd.api.types.is_integer_dtype(frame[name].dtype)})
    origin = known["arm"].isin(AT_RANDOM).map({True: LABELLED, False: CHOSEN})[fit.index]
    features = feature_columns(spec.data, list(frame.columns))
    said = dict(zip(row_hashes(fit[features]), fit[spec.data.target], strict=True)) if len(fit) else {}
    at = row_hashes(frame[features])
    target = [said.get(key, old) for key, old in zip(at, frame[spec.data.target], strict=True)]
    replaced = sum(key in said for key in at)
    source[spec.data.target] = pd.Series(target, index=frame.index).astype(frame[spec.data.target].dtype)
    there = set(at)
    new = fit.assign(**{ORIGIN: origin})[[key not in there for key in row_hashes(fit[features])]] if len(fit) else fit
    both = pd.concat([source, new], ignore_index=True) if len(new) else source
    notes = [f"{len(new)} rows that people labelled are learnt from beside {len(frame)} of the source."]
    if replaced:
        notes.append(f"{replaced} rows of the source have the label that people gave them.")
    if missing:
        notes.append(f"No labelled row has {', '.join(missing[:5])}: none is learnt from.")
    elif len(fit) < len(known):
        notes.append(f"{len(known) - len(fit)} labelled rows have other types than the source's columns, and are left out.")
    return both, notes
