"""Step `verify`: keep the fastest form of the model that still is the model, and make its bundle. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops), ``optimized`` (the optimize step's folder), ``mlflow_run_id``; optional ``champion`` (its
bundle, whose callers must be able to go on). Writes ``bundle/``:
``model.onnx``, ``signature.json``, ``golden.json`` (the served model's own answers) and ``optimization.json`` (all candidates). Logs
sizes and speed-ups, the bundle, and the chosen model as the MLflow model "serving".

A plan of TensorRT is good for one kind of GPU: where it is chosen, it lies in ``bundle/tensorrt/``, and ``model.onnx`` is the fastest exact
form that runs anywhere, whose answers are then ``golden.json``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles import api, manifest
from include.bundles.golden import Golden, Tolerance, arrays, to_golden, to_kserve
from include.bundles.signature import LABEL, PROBABILITIES, Signature
from include.errors import InputError, UpdraftError
from include.gates.evaluation import Comparison
from include.gates.metrics import Metric, default_score
from include.gates.paired import compare
from include.kinds.table import answers, parity, stored_model, tensorrt_plans
from include.kinds.table.onnx_model import OnnxModel, TensorModel, Tensors, to_tensors
from include.kinds.table.parity import Ask
from include.kinds.table.probes import Kind, probes
from include.kinds.table.speed import Speed, faster, race
from include.kinds.table.steps.evaluate import SPLIT
from include.kinds.table.steps.optimize import FLOAT32, LOSSY, PLAIN, QUANTUM, Candidate, insist, scaled
from include.kinds.table.table import Rows, split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.bars import Bars
from include.steps.context import StepContext
from include.steps.tracking import Tracking, requirements, tracked
from include.steps.user_code import importable
from include.tensorrt import plan
from include.verdict import Decision, Rule, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

BUNDLE = "bundle"
BATCHES = (1, 32)
ALIKE = (Kind.MISSING, Kind.UNSEEN, Kind.LOWEST, Kind.HIGHEST, Kind.ZERO, Kind.BETWEEN)
"""Probes that a faster form must answer as the plain export does; on others a number may overflow in one and not in the other."""
CLEAR = 4
"""A label is golden for serving when its probability leads by this many tolerances: neither side's rounding can then turn it."""


@dataclass(frozen=True)
class Judged:
    """A candidate with what was found about it; figures are None where it could not be built or loaded no further."""

    candidate: Candidate
    mismatches: tuple[str, ...] = ()
    score: Comparison | None = None
    size_bytes: int | None = None
    speed: Speed | None = None
    on: str = ""
    """What it was measured on, when that was no processor."""

    @property
    def name(self) -> str:
        return self.candidate.name

    def accurate(self, max_score_drop: float) -> bool:
        """Whether it answers as the original does: golden inputs, and the held-out score."""
        return self.candidate.file is not None and not self.mismatches and self._drop() <= max_score_drop

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        speed = asdict(self.speed) | {"p50_us": {str(size): value for size, value in self.speed.p50_us.items()}} if self.speed else None
        return asdict(self) | {"mismatches": list(self.mismatches), "speed": speed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Judged:
        return cls(
            Candidate.from_json(data["candidate"]),
            tuple(data["mismatches"]),
            Comparison.from_json(data["score"]) if data["score"] else None,
            data["size_bytes"],
            Speed.from_json(data["speed"]) if data["speed"] else None,
            data["on"],
        )

    def _drop(self) -> float:
        known = self.score is not None and self.score.difference is not None
        return -self.score.difference if known and self.score and self.score.difference is not None else float("inf")


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``chosen``, ``candidates`` (table), ``bundle`` (path), ``model_uri``, ``verdict``. InputError when the export differs."""
    spec = ctx.spec(ModelSpec)
    train, test = split_rows(ctx.input("table"), spec)
    folder = ctx.input("optimized")
    signature, golden = Signature.read(folder / "signature.json"), Golden.read(folder / "golden.json")
    _check_api(ctx, signature, spec)
    candidates = [Candidate.from_json(entry) for entry in json.loads((folder / "candidates.json").read_text())]
    opened = [_open(one, folder, ctx.out / "plans", signature) for one in candidates]
    candidates = [one.candidate for one in opened]
    insist(candidates, spec)
    models = {one.candidate.name: one.model for one in opened if one.model}
    speeds = race({name: _calls(one, test) for name, one in models.items()}, PLAIN)
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)

        def ask(x: pd.DataFrame) -> answers.Answers:
            return answers.of_estimator(model, x, spec.task)

        unlike = [probe.x for probe in probes(train.x, train.wide) if probe.kind in ALIKE]
        metric, _ = default_score(spec, [*train.y, *test.y] if spec.task is Task.CLASSIFICATION else ())
        original = _Original(ask, ask(test.x), test, unlike, models[PLAIN], metric)
        judged = [
            _judge(one, one.model, golden, original, spec, speeds[one.candidate.name]) if one.model else Judged(one.candidate)
            for one in opened
        ]
    verdict = decide(judged, Bars(spec.optimize.max_score_drop, spec.optimize.min_speedup))
    chosen = verdict.evidence["chosen"]
    table = [_row(one, spec) for one in judged]
    bundle = ctx.out / BUNDLE
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    portable = verdict.evidence["portable"]
    shutil.copyfile(folder / f"{portable}.onnx", bundle / "model.onnx")
    signature.save(bundle / "signature.json")
    (bundle / SPLIT).write_text(spec.data.model_dump_json(indent=1))
    served = next(one for one in opened if one.candidate.name == chosen)
    if served.candidate.plan:
        shutil.copytree(served.file.parent, bundle / plan.FOLDER)
    tolerance = scaled(_apart(served.candidate), train.y, spec.task)
    _served_golden(models[portable], golden, signature, tolerance).save(bundle / "golden.json")
    (bundle / "optimization.json").write_text(json.dumps({"chosen": chosen, "candidates": table, "verdict": verdict.to_json()}, indent=1))
    manifest.write(bundle)
    with tracked(ctx) as tracking:
        uri = _log(tracking, bundle, signature, test, judged, chosen)
    print("\n".join(verdict.reasons), flush=True)
    return {"chosen": chosen, "candidates": table, "bundle": str(bundle), "model_uri": uri, "verdict": verdict.to_json()}


def _check_api(ctx: StepContext, signature: Signature, spec: ModelSpec) -> None:
    """InputError when the champion's callers could not go on as they do, and the spec doesn't allow that: the gate's rule, of which the
    export alone tells some."""
    if "champion" not in ctx.request.inputs:
        return
    changes = api.changes(Signature.read(ctx.input("champion") / "signature.json"), signature)
    if changes and not spec.gate.allow_api_change:
        raise InputError(
            f"the version's API, now that it is exported, is another than the champion's: {'; '.join(changes)}.",
            where="gate.allow_api_change",
            remedy="Keep the columns' names, types and order; or set it to true when callers know of the change.",
        )


def decide(judged: Sequence[Judged], limits: Bars) -> Verdict:
    """PASS with the chosen candidate's name as evidence. Pure. InputError when the plain export is not the model."""
    plain = next(one for one in judged if one.name == PLAIN)
    if not plain.accurate(limits.max_score_drop):
        found = "; ".join(plain.mismatches) or f"its score is {plain.score.difference if plain.score else None} beside the original's"
        raise InputError(
            f"the ONNX export does not answer as the model does: {found}.",
            where="optimize",
            remedy="Replace the part of the model whose conversion is inexact, or train it on scaled features.",
        )
    rules = [rule for one in judged for rule in _rules(one, limits)]
    good = [one for one in judged if one.accurate(limits.max_score_drop) and one.speed and one.speed.low >= limits.min_speedup]
    fast = [one for one in good if one is not plain and one.speed]
    chosen = _fastest(fast, plain)
    portable = chosen
    if chosen.candidate.plan:
        portable = _fastest([one for one in fast if not one.candidate.plan and not one.candidate.lossy], plain)
    why = (
        f"{chosen.speed.speedup:.2f} times as fast as the plain export [{chosen.speed.low:.2f}, {chosen.speed.high:.2f}]"
        if chosen.speed and chosen is not plain
        else f"no other form passes parity and is {faster(limits.min_speedup)}"
    )
    reasons = (
        f"{chosen.name} is served: {why}.",
        *(f"{one.name} was not made: {one.candidate.reason}." for one in judged if not one.candidate.file),
    )
    evidence = {"chosen": chosen.name, "portable": portable.name, "bars": asdict(limits), "forms": [one.to_json() for one in judged]}
    return Verdict(Decision.PASS, reasons, tuple(rules), evidence)


def recompute(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict again from its stored evidence."""
    return decide([Judged.from_json(form) for form in evidence["forms"]], Bars(**evidence["bars"]))


def _fastest(judged: list[Judged], plain: Judged) -> Judged:
    return max(judged, key=lambda one: one.speed.speedup if one.speed else 0.0) if judged else plain


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


def _apart(one: Candidate) -> float:
    """How far the answers of what is deployed may be from the recorded ones. A plan's deployment may fall back to the portable form."""
    if one.plan:
        return LOSSY if one.lossy else QUANTUM
    return QUANTUM if one.lossy else FLOAT32


def _rules(one: Judged, limits: Bars) -> list[Rule]:
    allowed = one.candidate.tolerance
    if one.candidate.file is None or one.speed is None or one.score is None:
        return [Rule(f"{one.name}: available", None, "not made", "a file", one.candidate.reason)]
    difference, speed = one.score.difference, one.speed
    rules = [
        Rule(
            f"{one.name}: golden inputs",
            not one.mismatches,
            f"{len(one.mismatches)} outputs differ" if one.mismatches else "all as the original",
            f"within {allowed.absolute:.3g}" + (f" + {allowed.relative:.3g} of the value" if allowed.relative else ""),
            "; ".join(one.mismatches),
        ),
        Rule(
            f"{one.name}: score",
            difference is not None and -difference <= limits.max_score_drop,
            one.score.figure if difference is None else f"{one.score.figure} {one.score.metric}",
            f"at least {-limits.max_score_drop:+g}",
            f"{one.score.rows} held-out rows; {one.score.method}",
        ),
    ]
    if one.name != PLAIN:
        figure = f"{speed.speedup:.2f} [{speed.low:.2f}, {speed.high:.2f}]"
        rules.append(Rule(f"{one.name}: speed-up", speed.low >= limits.min_speedup, figure, faster(limits.min_speedup)))
    return rules


@dataclass(frozen=True)
class _Original:
    """The estimator, asked: ``said`` on the held-out rows ``test``; ``probes`` are rows unlike them, and ``plain`` the plain export."""

    ask: Ask
    said: answers.Answers
    test: Rows
    probes: list[pd.DataFrame]
    plain: TensorModel
    metric: Metric


def _judge(one: _Opened, model: TensorModel, golden: Golden, original: _Original, spec: ModelSpec, speed: Speed) -> Judged:
    test = original.test
    said = model.run(arrays(golden, model.signature))
    allowed = Golden(golden.inputs, golden.outputs, one.candidate.tolerance, golden.classes)
    differing = allowed.mismatches([to_kserve(tensor, said[tensor.name]) for tensor in model.signature.outputs])
    theirs = model.answers(test.x)
    if not one.candidate.lossy:
        differing += _exactly(model, theirs, original, one.candidate.tolerance)
    known = answers.universe(test.y, original.said.classes, original.said.values, theirs.values) if spec.task is Task.CLASSIFICATION else ()
    ours, reference = answers.outcome(theirs, test.y, known), answers.outcome(original.said, test.y, known)
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


def _calls(model: TensorModel, test: Rows) -> dict[int, Any]:
    def call(size: int) -> Any:
        tensors = to_tensors(model.signature, test.x.iloc[[row % len(test) for row in range(size)]])
        return lambda: model.run(tensors)

    return {size: call(size) for size in BATCHES}


def _row(one: Judged, spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": one.name,
        "available": one.candidate.file is not None,
        "reason": one.candidate.reason,
        "on": one.on,
        "accurate": one.accurate(spec.optimize.max_score_drop),
        "mismatches": list(one.mismatches),
        "score": asdict(one.score) if one.score else None,
        "size_bytes": one.size_bytes,
        "p50_us": {str(size): value for size, value in one.speed.p50_us.items()} if one.speed else None,
        "speedup": [one.speed.speedup, one.speed.low, one.speed.high] if one.speed else None,
    }


def _served_golden(model: TensorModel, golden: Golden, signature: Signature, tolerance: Tolerance) -> Golden:
    """The golden inputs with the served model's own answers, which is what a deployment is compared with; near ties are left out."""
    inputs = arrays(golden, signature)
    said = model.run(inputs)
    clear = _clear(said, tolerance)
    if clear.any():
        inputs, said = ({name: array[clear] for name, array in part.items()} for part in (inputs, said))
    return to_golden(signature, inputs, said, tolerance)


def _clear(said: Tensors, tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    import numpy as np

    rows = len(next(iter(said.values())))
    if LABEL not in said or PROBABILITIES not in said or said[PROBABILITIES].shape[1] < 2:
        return np.ones(rows, dtype=bool)
    ranked = np.sort(said[PROBABILITIES], axis=1)
    clear: npt.NDArray[np.bool_] = ranked[:, -1] - ranked[:, -2] > CLEAR * tolerance.absolute
    return clear


def _log(tracking: Tracking, bundle: Path, signature: Signature, test: Rows, judged: list[Judged], chosen: str) -> str:
    import mlflow.onnx
    import onnx

    tracking.metrics(_figures(judged), prefix="forms/")
    # A tag and no parameter: a repeated step may choose otherwise, and MLflow's parameters never change.
    tracking.tag("updraft.served_form", chosen)
    tracking.artifact(bundle, BUNDLE)
    tracking.forget_model("serving")
    info = mlflow.onnx.log_model(
        onnx.load(bundle / "model.onnx"),
        name="serving",
        signature=signature.to_mlflow(),
        pip_requirements=requirements("mlflow", "onnx", "onnxruntime"),
        save_as_external_data=False,
    )
    return str(info.model_uri)


def _figures(judged: list[Judged]) -> Mapping[str, float | None]:
    figures: dict[str, float | None] = {}
    for one in judged:
        if one.speed is None:
            continue
        figures |= {f"{one.name}_size_bytes": one.size_bytes, f"{one.name}_speedup": one.speed.speedup}
        figures |= {f"{one.name}_p50_us_batch_{size}": value for size, value in one.speed.p50_us.items()}
    return figures
