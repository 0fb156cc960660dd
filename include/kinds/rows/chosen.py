"""What the winner of a search over rows is worth: from what every complete trial answered about the same rows."""

from __future__ import annotations

import json
from typing import Any

from include.gates.metrics import metric_named
from include.kinds.rows.rows import Rows
from include.kinds.rows.split import row_hashes
from include.search import outcomes
from include.search.gain import gain
from include.spec.data import Data
from include.spec.schema import Spec
from include.steps.context import StepContext

FILE = "gain.json"


def run(ctx: StepContext, spec: Spec, train: Rows) -> dict[str, Any]:
    """Result: ``gain`` (path of a JSON file: :class:`include.search.gain.Gain`). Inputs ``trial.<number>`` are the complete trials'."""
    import numpy as np
    import pandas as pd

    asked = ctx.request.trial
    values = {int(number): float(value) for number, value in asked["values"]}
    trials = {number: outcomes.read(ctx.input(f"trial.{number}")) for number in values}
    metric = metric_named(spec.task, str(asked["metric"]))
    assert metric is not None
    data: Data = spec.data
    groups = None
    if columns := [data.group] if data.group is not None else list(data.key):
        order = np.concatenate([fold.rows for fold in next(iter(trials.values()))])
        groups = pd.factorize(row_hashes(train.table[columns])[order])[0].astype("int64")
    found = gain(metric, trials, values, groups=groups)
    (ctx.out / FILE).write_text(json.dumps(found.to_json()))
    return {"gain": str(ctx.out / FILE)}
