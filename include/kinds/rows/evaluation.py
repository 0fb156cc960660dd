"""A model's figures on the held-out rows, with intervals, by slice, beside the champion's: what the gate judges by."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.signature import Signature
from include.data.origin import like_live
from include.errors import ComponentError, InputError
from include.gates.evaluation import Champion, Evaluation, Slice
from include.gates.metrics import Metric, asked_metrics, default_score, metric_named
from include.gates.outcomes import Labelled, Measured, Outcome, Tagged
from include.gates.paired import compare, score
from include.gates.slices import slices
from include.kinds.rows import answers, own_metric
from include.kinds.rows.disagreement import disagreement
from include.kinds.rows.rows import Rows
from include.kinds.rows.split import SPLIT
from include.kinds.rows.unseen import Unseen, unseen
from include.spec.data import Data
from include.spec.schema import Spec, Task
from include.steps.context import StepContext
from include.steps.tracking import Tracking

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

FILE = "evaluation.json"
REFERENCE = "reference.parquet"
"""The held-out rows with the model's answers: what is looked at in production is compared with them (``include.monitoring``)."""
_METRIC_NAME = re.compile(r"[^\w\-. /:]")
"""What MLflow takes in no metric's name."""
SAMPLE = 200
"""Points of the predicted-against-actual chart."""
BINS = 20
MOST_CLASSES = 3
"""With more classes, the figures of each are given only where the gate names them."""
MOST_REFERENCE = 20_000
"""Held-out rows that are kept for it."""


@dataclass(frozen=True)
class _Judged:
    """Both models' outcomes on the held-out rows; ``theirs`` None without a comparable champion."""

    spec: Spec
    metric: Metric
    ours: Outcome
    theirs: Outcome | None
    groups: npt.NDArray[np.int64] | None
    live: npt.NDArray[np.bool_]
    """The rows that stand for what callers send."""
    fresh: Unseen | None = None
    """The rows that the champion has not seen, where these are not all: only they are compared."""

    def common(self, mask: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
        """The rows, of those that ``mask`` marks, that both models may be compared on."""
        every = ~nowhere(len(self.ours)) if mask is None else mask
        return every if self.fresh is None else every & self.fresh.rows


def evaluate(
    spec: Spec,
    test: Rows,
    train: Rows,
    ours: answers.Answers,
    champion: Champion | None,
    theirs: answers.Answers | None,
    fresh: Unseen | None = None,
    *,
    folder: Path,
) -> Evaluation:
    """All figures of the held-out rows; ``theirs`` are the champion's answers for the same rows, when it could be asked, and ``fresh`` says
    which of them it was not trained on; ``folder`` is the model's, with a metric of its own."""
    metric, note = default_score(spec, [*train.y, *test.y] if spec.task is Task.CLASSIFICATION else ())
    if champion is not None and theirs is not None and fresh is not None and not fresh.rows.any():
        why = f"champion {champion.version} has seen every held-out row, or may have: {fresh.note or 'there is no other'}"
        champion, theirs = Champion(champion.version, not_comparable=why), None
    known = answers.known_labels(spec.task, test.y, *([ours] if theirs is None else [ours, theirs]))
    judged = _Judged(
        spec,
        metric,
        own_metric.judged(spec, folder, test, ours, known),
        None if theirs is None else own_metric.judged(spec, folder, test, theirs, known),
        _groups(test, spec),
        like_live(test.table),
        fresh if fresh is not None and not fresh.rows.all() else None,
    )
    return Evaluation(
        task=spec.task.value,
        metric=judged.metric.name,
        rows=len(test),
        train_rows=len(train),
        confidence=spec.gate.confidence,
        scores=_scores(judged, judged.ours),
        slices=tuple(_slices(judged, test)),
        champion=_compared(judged, champion),
        charts=_charts(judged.ours),
        metric_note=note,
    )


def champion_of(
    ctx: StepContext, test: Rows, ask: Callable[[Path, Signature], answers.Answers]
) -> tuple[Champion | None, answers.Answers | None]:
    """Return the champion of the step's inputs, and what it says of the held-out rows, by ``ask`` (given its bundle and signature).

    None without a champion; no answers where it can't take today's rows. Raises ComponentError for a champion that can't be loaded.
    """
    if "champion" not in ctx.request.inputs:
        return None, None
    version, folder = ctx.request.inputs.get("champion_version", ""), ctx.input("champion")
    signature = Signature.read(folder / "signature.json")
    missing = [name for name in signature.features if name not in test.table.columns]
    if missing:
        return Champion(version, not_comparable=f"champion {version} needs columns that the data no longer has: {', '.join(missing)}"), None
    try:
        return Champion(version), ask(folder, signature)
    except ComponentError:
        raise
    except Exception as error:  # ONNX Runtime's own errors too (a text where it takes a number), and the champion's code
        return Champion(version, not_comparable=f"champion {version} does not take today's columns: {error}"), None


def unseen_by(
    ctx: StepContext, data: Data, test: pd.DataFrame, champion: Champion | None, read: Callable[[Path, Data], pd.DataFrame]
) -> Unseen | None:
    """Return which rows of the held-out table ``test`` the champion has not seen; None when its snapshot is not at hand.

    ``read`` gives the table at a path, as a spec's part ``data`` says that it is written.
    """
    if champion is None or "champion_table" not in ctx.request.inputs:
        return None
    path = ctx.input("champion") / SPLIT
    theirs = type(data).model_validate_json(path.read_text()) if path.exists() else data
    try:
        return unseen(read(ctx.input("table"), data), test, data, read(ctx.input("champion_table"), theirs), theirs)
    except (InputError, KeyError) as error:
        return Unseen(nowhere(len(test)), f"its snapshot can't be compared with today's: {error}")


def keep(evaluation: Evaluation, folder: Path, tracking: Tracking) -> dict[str, Any]:
    """Write ``evaluation.json`` into the step's ``folder``, log it with the figures and the reference there; return the step's result."""
    path = folder / FILE
    evaluation.save(path)
    values = {name: found.value for name, found in evaluation.scores.items()}
    tracking.metrics({_METRIC_NAME.sub("_", name): value for name, value in values.items()}, prefix="test/")
    tracking.artifact(path)
    tracking.artifact(folder / REFERENCE)
    print(f"{evaluation.metric} = {values[evaluation.metric]} on {evaluation.rows} held-out rows.", evaluation.metric_note, flush=True)
    return {"evaluation": str(path), "metrics": values, "score": values[evaluation.metric], "rows": evaluation.rows}


def reference(test: Rows, ours: answers.Answers) -> pd.DataFrame:
    """Return the held-out rows that stand for what callers send, :data:`MOST_REFERENCE` of them at most, as
    ``include.monitoring.rows.Reference`` takes them."""
    import pandas as pd

    frame = test.x.rename(columns=lambda name: f"inputs.{name}").reset_index(drop=True)
    found = {"outputs.prediction": ours.values, "truth": test.y.to_numpy()}
    if ours.probabilities is not None:
        found["outputs.confidence"] = ours.probabilities.max(axis=1)
    frame = pd.concat([frame, pd.DataFrame(found)], axis=1)[like_live(test.table)]
    return frame.sample(MOST_REFERENCE, random_state=0) if len(frame) > MOST_REFERENCE else frame


def nowhere(rows: int) -> npt.NDArray[np.bool_]:
    """Return a mask of so many ``rows`` that marks none."""
    import numpy as np

    return np.zeros(rows, dtype=bool)


def _compared(judged: _Judged, champion: Champion | None) -> Champion | None:
    if champion is None or judged.theirs is None:
        return champion
    rows = judged.common()
    live = rows & judged.live
    groups = None if judged.groups is None else judged.groups[live]
    differ = disagreement(judged.ours.take(live), judged.theirs.take(live), groups)
    return Champion(champion.version, _scores(judged, judged.theirs, rows), _compare(judged, rows), disagreement=differ)


def _scores(judged: _Judged, outcome: Outcome, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    confidence, groups = judged.spec.gate.confidence, judged.groups
    if rows is not None and not rows.all():
        outcome, groups = outcome.take(rows), None if groups is None else _dense(groups[rows])
    metrics = asked_metrics(judged.spec)
    if isinstance(outcome, Labelled) and len(outcome.labels) <= MOST_CLASSES:
        names = [f"{figure}/{label}" for figure in ("precision", "recall", "f1") for label in outcome.labels]
        metrics |= {name: metric for name in names if (metric := metric_named(judged.spec.task, name))}
    if isinstance(outcome, Tagged):
        metrics |= {f"f1/{label}": metric for label in outcome.labels if (metric := metric_named(judged.spec.task, f"f1/{label}"))}
    return {name: score(metric, outcome, confidence, groups) for name, metric in metrics.items()}


def _compare(judged: _Judged, rows: npt.NDArray[np.bool_]) -> Any:
    """Both models on ``rows``; None when there are none."""
    if judged.theirs is None or not rows.any():
        return None
    groups, gate = None if judged.groups is None else _dense(judged.groups[rows]), judged.spec.gate
    found = compare(judged.metric, judged.ours.take(rows), judged.theirs.take(rows), gate.max_regression, gate.confidence, groups)
    if judged.fresh is None:
        return found
    return replace(found, method=f"{found.method}; rows that neither model was trained on")


def _slices(judged: _Judged, test: Rows) -> list[Slice]:
    found = []
    for column in judged.spec.gate.slices:
        for value, mask in slices(test.table[column]):
            groups = None if judged.groups is None else _dense(judged.groups[mask])
            ours = judged.ours.take(mask)
            own = score(judged.metric, ours, judged.spec.gate.confidence, groups)
            if judged.theirs is None:
                found.append(Slice(column, value, int(mask.sum()), own))
                continue
            champions = score(judged.metric, judged.theirs.take(mask), judged.spec.gate.confidence, groups)
            found.append(Slice(column, value, int(mask.sum()), own, champions, _compare(judged, judged.common(mask))))
    return found


def _groups(test: Rows, spec: Spec) -> npt.NDArray[np.int64] | None:
    return None if spec.data.group is None else _dense(test.table[spec.data.group])


def _dense(values: Any) -> npt.NDArray[np.int64]:
    import pandas as pd

    codes: npt.NDArray[np.int64] = pd.factorize(values, use_na_sentinel=False)[0].astype("int64")
    return codes


def _charts(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Labelled):
        return _confusion(outcome)
    return _residuals(outcome) if isinstance(outcome, Measured) else {}


def _confusion(outcome: Labelled) -> dict[str, Any]:
    import numpy as np

    size = len(outcome.labels)
    counts = np.bincount(outcome.truth * size + outcome.predicted, minlength=size * size).reshape(size, size)
    return {"confusion": {"labels": [str(label) for label in outcome.labels], "rows_true_columns_predicted": counts.tolist()}}


def _residuals(outcome: Measured) -> dict[str, Any]:
    import numpy as np

    counts, edges = np.histogram(outcome.predicted - outcome.truth, bins=BINS)
    every = max(1, len(outcome) // SAMPLE)
    points = np.stack([outcome.truth, outcome.predicted], axis=1)[::every][:SAMPLE]
    return {"residuals": {"edges": edges.tolist(), "counts": counts.tolist()}, "predicted_vs_actual": points.tolist()}
