"""Step `verify`: keep the fastest form of the graph that still is the model, and make its bundle. Runtime `trainer`.

Inputs: ``table``, ``model`` (the graph), ``optimized`` (the optimize step's folder), ``mlflow_run_id``; optional ``champion`` (its bundle).
Writes ``bundle/``: ``model.onnx``, ``signature.json``, ``golden.json`` (the served model's own answers), ``split.json`` and
``optimization.json`` (all forms).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Golden, arrays, to_kserve
from include.gates.metrics import Metric, default_score
from include.gates.paired import compare
from include.kinds.forms import candidates as forms
from include.kinds.forms.candidates import PLAIN, Candidate
from include.kinds.forms.choice import Judged, decide
from include.kinds.forms.served import check_api, lay_down
from include.kinds.forms.speed import Call, Speed, calls, race
from include.kinds.rows import answers, own_metric
from include.kinds.rows.answers import Answers
from include.kinds.rows.rows import Rows
from include.kinds.tensor import parity
from include.kinds.tensor.layers import worst_layer
from include.kinds.tensor.opening import opened
from include.kinds.tensor.pipeline import Pipeline
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import split_rows
from include.spec.schema import Task
from include.steps.bars import Bars
from include.steps.context import StepContext

if TYPE_CHECKING:
    import pandas as pd

BATCHES = (1, 16)
LOOKED_AT = 64
"""Held-out rows by which the layer is found that an 8-bit form goes astray in."""


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``chosen``, ``candidates`` (table), ``bundle`` (path), ``model_uri``, ``verdict``."""
    spec = ctx.spec(TensorSpec)
    train, test = split_rows(ctx.input("table"), spec)
    folder = ctx.input("optimized")
    found = forms.read(folder)
    models = {one.name: opened(ctx, spec, folder, train, one.file) for one in found if one.file}
    plain = models[PLAIN]
    golden = Golden.read(folder / "golden.json")
    check_api(ctx, plain.signature, spec)
    speeds = race({name: calls(partial(_call, model), test.x, BATCHES) for name, model in models.items()}, PLAIN)
    metric, _ = default_score(spec, [*train.y, *test.y] if spec.task is Task.CLASSIFICATION else ())
    original = plain.answers(test.x)
    judged = [
        _judge(one, models[one.name], golden, original, test, metric, spec, speeds[one.name], ctx.folder) if one.file else Judged(one)
        for one in found
    ]
    judged = [_explained(one, folder, plain, test) if one.candidate.lossy and one.mismatches else one for one in judged]
    judged = [replace(one, size_bytes=(folder / one.candidate.file).stat().st_size) if one.candidate.file else one for one in judged]
    verdict = decide(judged, Bars(spec.optimize.max_score_drop, spec.optimize.min_speedup))
    return lay_down(ctx, spec, verdict, judged, models[str(verdict.evidence["portable"])], golden, train.y)


def _call(model: Pipeline, x: pd.DataFrame) -> Call:
    """What is timed: the graph alone, on what the code before it has made of held-out rows."""
    given = model.before(model.tensors(x))
    return lambda: model.infer(given)


def _explained(one: Judged, folder: Path, plain: Pipeline, test: Rows) -> Judged:
    """An 8-bit form that is not the model, with the layer that it goes astray in."""
    given = plain.before(plain.tensors(test.x.head(LOOKED_AT)))
    why = worst_layer(folder / f"{PLAIN}.onnx", folder / str(one.candidate.file), given)
    return replace(one, mismatches=(*one.mismatches, why)) if why else one


def _judge(
    one: Candidate,
    model: Pipeline,
    golden: Golden,
    original: Answers,
    test: Rows,
    metric: Metric,
    spec: TensorSpec,
    speed: Speed,
    folder: Path,
) -> Judged:
    """An exact form must give the golden answers; a coarser one the same classes, answers that point the same way, and the score."""
    said = model.answers(test.x)
    if one.lossy:
        wrong = parity.faults(said, original, spec.optimize.min_agreement, spec.optimize.min_cosine)
    else:
        given = model.run(arrays(golden, model.signature))
        expected = Golden(golden.inputs, golden.outputs, one.tolerance, golden.classes)
        wrong = tuple(expected.mismatches([to_kserve(tensor, given[tensor.name]) for tensor in model.signature.outputs]))
    known = answers.known_labels(spec.task, test.y, original, said)
    ours, theirs = (own_metric.judged(spec, folder, test, found, known) for found in (said, original))
    return Judged(one, wrong, compare(metric, ours, theirs, spec.optimize.max_score_drop, spec.gate.confidence), None, speed)
