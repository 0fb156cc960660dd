"""Step `verify`: keep the fastest form of the model that still is the model, and make its bundle. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops), ``optimized`` (the optimize step's folder), ``mlflow_run_id``; optional ``champion`` (its
bundle, whose callers must be able to go on). Writes ``bundle/``:
``model.onnx``, ``signature.json``, ``golden.json`` (the served model's own answers) and ``optimization.json`` (all candidates). Logs
sizes and speed-ups, the bundle, and the chosen model as the MLflow model "serving".

A plan of TensorRT is good for one kind of GPU: where it is chosen, it lies in ``bundle/tensorrt/``, and ``model.onnx`` is the fastest exact
form that runs anywhere, whose answers are then ``golden.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Golden, Tolerance, arrays, to_kserve
from include.bundles.signature import Signature
from include.errors import UpdraftError
from include.gates.metrics import Metric, default_score
from include.gates.paired import compare
from include.kinds.forms import candidates as forms
from include.kinds.forms import tensorrt_plans
from include.kinds.forms.candidates import PLAIN, Candidate, insist
from include.kinds.forms.choice import Judged, decide
from include.kinds.forms.onnx_model import OnnxModel, TensorModel, to_tensors
from include.kinds.forms.served import check_api, lay_down
from include.kinds.forms.speed import Call, Speed, calls, race
from include.kinds.rows import answers, own_metric
from include.kinds.rows.rows import Rows
from include.kinds.table import parity, stored_model
from include.kinds.table.parity import Ask
from include.kinds.table.probes import Kind, probes
from include.kinds.table.table import split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.bars import Bars
from include.steps.context import StepContext
from include.steps.user_code import importable
from include.tensorrt import plan

if TYPE_CHECKING:
    import pandas as pd

BATCHES = (1, 32)
ALIKE = (Kind.MISSING, Kind.UNSEEN, Kind.LOWEST, Kind.HIGHEST, Kind.ZERO, Kind.BETWEEN)
"""Probes that a faster form must answer as the plain export does; on others a number may overflow in one and not in the other."""


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``chosen``, ``candidates`` (table), ``bundle`` (path), ``model_uri``, ``verdict``. InputError when the export differs."""
    spec = ctx.spec(ModelSpec)
    train, test = split_rows(ctx.input("table"), spec)
    folder = ctx.input("optimized")
    signature, golden = Signature.read(folder / "signature.json"), Golden.read(folder / "golden.json")
    check_api(ctx, signature, spec)
    opened = [_open(one, folder, ctx.out / "plans", signature) for one in forms.read(folder)]
    insist([one.candidate for one in opened], spec)
    models = {one.candidate.name: one.model for one in opened if one.model}
    speeds = race({name: calls(partial(_call, one), test.x, BATCHES) for name, one in models.items()}, PLAIN)
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)

        def ask(x: pd.DataFrame) -> answers.Answers:
            return answers.of_estimator(model, x, spec.task)

        unlike = [probe.x for probe in probes(train.x, train.wide) if probe.kind in ALIKE]
        metric, _ = default_score(spec, [*train.y, *test.y] if spec.task is Task.CLASSIFICATION else ())
        original = _Original(ask, ask(test.x), test, unlike, models[PLAIN], metric, ctx.folder)
        judged = [
            _judge(one, one.model, golden, original, spec, speeds[one.candidate.name]) if one.model else Judged(one.candidate)
            for one in opened
        ]
    verdict = decide(judged, Bars(spec.optimize.max_score_drop, spec.optimize.min_speedup))
    chosen = next(one for one in opened if one.candidate.name == verdict.evidence["chosen"])
    portable = models[verdict.evidence["portable"]]
    return lay_down(ctx, spec, verdict, judged, portable, golden, train.y, chosen.file.parent)


@dataclass(frozen=True)
class _Opened:
    """A candidate with the model that answers, None when there is none; ``file`` is what is served of it."""

    candidate: Candidate
    model: TensorModel | None
    file: Path
    on: str = ""


def _open(one: Candidate, folder: Path, rebuilt: Path, signature: Signature) -> _Opened:
    file = folder / (one.file or "")
    if not one.file:
        return _Opened(one, None, file)
    if not one.plan:
        return _Opened(one, OnnxModel(file, signature), file)
    try:
        place, on = tensorrt_plans.here(folder / one.plan, rebuilt / one.name)
        return _Opened(one, tensorrt_plans.PlanModel(place, signature), place / plan.PLAN, on)
    except (UpdraftError, ImportError) as error:
        return _Opened(replace(one, file=None, reason=f"its plan can't be run: {str(error).rstrip('.')}"), None, file)


@dataclass(frozen=True)
class _Original:
    """The estimator, asked: ``said`` on the held-out rows ``test``; ``probes`` are rows unlike them, and ``plain`` the plain export."""

    ask: Ask
    said: answers.Answers
    test: Rows
    probes: list[pd.DataFrame]
    plain: TensorModel
    metric: Metric
    folder: Path


def _judge(one: _Opened, model: TensorModel, golden: Golden, original: _Original, spec: ModelSpec, speed: Speed) -> Judged:
    test = original.test
    said = model.run(arrays(golden, model.signature))
    allowed = Golden(golden.inputs, golden.outputs, one.candidate.tolerance, golden.classes)
    differing = allowed.mismatches([to_kserve(tensor, said[tensor.name]) for tensor in model.signature.outputs])
    theirs = model.answers(test.x)
    if not one.candidate.lossy:
        differing += _exactly(model, theirs, original, one.candidate.tolerance)
    known = answers.universe(test.y, original.said.classes, original.said.values, theirs.values) if spec.task is Task.CLASSIFICATION else ()
    ours, reference = (own_metric.judged(spec, original.folder, test, one, known) for one in (theirs, original.said))
    score = compare(original.metric, ours, reference, spec.optimize.max_score_drop, spec.gate.confidence)
    return Judged(one.candidate, tuple(differing), score, one.file.stat().st_size, speed, one.on)


def _exactly(model: TensorModel, theirs: answers.Answers, original: _Original, tolerance: Tolerance) -> list[str]:
    """One sentence where a form that claims to be exact isn't: on a stable held-out row, or on rows unlike them beside the plain export."""
    test = original.test
    wrong = parity.differing(original.ask, theirs, original.said, test.x, test.wide, tolerance)
    found = []
    if wrong.any():
        first = int(wrong.argmax())
        found.append(f"{int(wrong.sum())} of {len(test)} held-out rows differ, first where {parity.shown(test.x, first)}")
    for unlike in original.probes if isinstance(model, OnnxModel) and model is not original.plain else ():
        x = _answered(original.plain, unlike)
        if not len(x):
            continue
        reference = original.plain.answers(x)
        apart = parity.differing(original.plain.answers, model.answers(x), reference, x, test.wide, tolerance)
        apart &= parity.apart(reference, reference, tolerance) == 0  # where the plain export has no number either, callers are refused
        if apart.any():
            found.append(f"{int(apart.sum())} rows unlike the data differ, first where {parity.shown(x, int(apart.argmax()))}")
    return found


def _answered(plain: TensorModel, x: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the plain export answers; ONNX Runtime raises for a whole batch what one row makes an operator refuse."""

    def answers_to(rows: pd.DataFrame) -> bool:
        try:
            plain.answers(rows)
        except Exception:  # ONNX Runtime's own; callers are refused by the columns' limits before
            return False
        return True

    return x if answers_to(x) else x[[answers_to(x.iloc[[row]]) for row in range(len(x))]]


def _call(model: TensorModel, x: pd.DataFrame) -> Call:
    tensors = to_tensors(model.signature, x)
    return lambda: model.run(tensors)
