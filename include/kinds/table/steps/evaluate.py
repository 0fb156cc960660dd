"""Step `evaluate`: the model's figures on the held-out rows, with intervals, by slice, beside the champion's. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops), ``mlflow_run_id``; optional ``champion`` (folder with the served ``model.onnx`` and
``signature.json``) and ``champion_version``. Writes ``evaluation.json``; logs the metrics and that file to the MLflow run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.bundles.signature import Signature
from include.gates.evaluation import Champion, Evaluation, Slice
from include.gates.metrics import Labelled, Measured, Metric, Outcome, metrics_of, score_metric
from include.gates.paired import compare, score
from include.gates.slices import slices
from include.kinds.table import answers, stored_model
from include.kinds.table.onnx_model import OnnxModel
from include.kinds.table.table import Rows, features, split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.context import StepContext
from include.steps.tracking import tracked
from include.steps.user_code import explained, importable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "evaluation.json"
SAMPLE = 200
"""Points of the predicted-against-actual chart."""
BINS = 20


@dataclass(frozen=True)
class _Judged:
    """Both models' outcomes on the held-out rows; ``theirs`` None without a comparable champion."""

    spec: ModelSpec
    metric: Metric
    ours: Outcome
    theirs: Outcome | None
    groups: npt.NDArray[np.int64] | None


def run(ctx: StepContext) -> dict[str, Any]:
    """Result: ``evaluation`` (path), ``metrics`` (name to value), ``score``, ``rows``."""
    spec = ctx.spec(ModelSpec)
    train, test = split_rows(ctx.input("table"), spec)
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)
        with explained(ctx.folder, "predict() on the held-out rows"):
            ours = answers.of_estimator(model, test.x, spec.task)
    evaluation = evaluate(spec, test, len(train), ours, *_champion(ctx, test))
    path = ctx.out / FILE
    evaluation.save(path)
    values = {name: found.value for name, found in evaluation.scores.items()}
    with tracked(ctx) as tracking:
        tracking.metrics(values, prefix="test_")
        tracking.artifact(path)
    print(f"{evaluation.metric} = {values[evaluation.metric]} on {len(test)} held-out rows.", flush=True)
    return {"evaluation": str(path), "metrics": values, "score": values[evaluation.metric], "rows": len(test)}


def evaluate(
    spec: ModelSpec, test: Rows, train_rows: int, ours: answers.Answers, champion: Champion | None, theirs: answers.Answers | None
) -> Evaluation:
    """All figures of the held-out rows; ``theirs`` are the champion's answers for the same rows, when it could be asked."""
    known: tuple[answers.Label, ...] = ()
    if spec.task is Task.CLASSIFICATION:
        asked = [ours] if theirs is None else [ours, theirs]
        known = answers.universe(test.y, *(part for said in asked for part in (said.classes, said.values)))
    judged = _Judged(
        spec,
        score_metric(spec),
        answers.outcome(ours, test.y, known),
        None if theirs is None else answers.outcome(theirs, test.y, known),
        _groups(test, spec),
    )
    return Evaluation(
        task=spec.task.value,
        metric=judged.metric.name,
        rows=len(test),
        train_rows=train_rows,
        confidence=spec.gate.confidence,
        scores=_scores(judged, judged.ours),
        slices=tuple(_slices(judged, test)),
        champion=_compared(judged, champion),
        charts=_charts(judged.ours),
    )


def _champion(ctx: StepContext, test: Rows) -> tuple[Champion | None, answers.Answers | None]:
    if "champion" not in ctx.request.inputs:
        return None, None
    version, folder = ctx.request.inputs.get("champion_version", ""), ctx.input("champion")
    signature = Signature.read(folder / "signature.json")
    missing = [name for name in signature.features if name not in test.table.columns]
    if missing:
        return Champion(version, not_comparable=f"champion {version} needs columns that the data no longer has: {', '.join(missing)}"), None
    model = OnnxModel(folder / "model.onnx", signature)
    try:
        return Champion(version), model.answers(features(test.table, list(signature.features)))
    except (TypeError, ValueError) as error:
        return Champion(version, not_comparable=f"champion {version} does not take today's columns: {error}"), None


def _compared(judged: _Judged, champion: Champion | None) -> Champion | None:
    if champion is None or judged.theirs is None:
        return champion
    return Champion(champion.version, _scores(judged, judged.theirs), _compare(judged, judged.ours, judged.theirs, judged.groups))


def _scores(judged: _Judged, outcome: Outcome) -> dict[str, Any]:
    confidence = judged.spec.gate.confidence
    return {name: score(metric, outcome, confidence, judged.groups) for name, metric in metrics_of(judged.spec.task).items()}


def _compare(judged: _Judged, ours: Outcome, theirs: Outcome, groups: Any) -> Any:
    return compare(judged.metric, ours, theirs, judged.spec.gate.max_regression, judged.spec.gate.confidence, groups)


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
            theirs = judged.theirs.take(mask)
            champions = score(judged.metric, theirs, judged.spec.gate.confidence, groups)
            found.append(Slice(column, value, int(mask.sum()), own, champions, _compare(judged, ours, theirs, groups)))
    return found


def _groups(test: Rows, spec: ModelSpec) -> npt.NDArray[np.int64] | None:
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
