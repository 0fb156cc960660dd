"""Step `optimize`: the model as ONNX, and its faster forms, beside the answers of the original to compare them with. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops). Writes ``plain.onnx``, one ``<method>.onnx`` for each optimisation that there is,
``signature.json``, ``golden.json`` (the original's answers) and ``candidates.json``. A TensorRT plan lies in ``<method>/``; it is built
in runtime `tensorrt`, on the GPU that the step holds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Golden, Tolerance, to_golden
from include.bundles.signature import LABEL, PREDICTION, PROBABILITIES, Signature
from include.errors import InputError
from include.kinds.table import answers, stored_model
from include.kinds.table.export import Exported, exported
from include.kinds.table.onnx_model import to_tensors
from include.kinds.table.optimizers import Built, optimizers
from include.kinds.table.parity import near
from include.kinds.table.stable_rows import stable_rows
from include.kinds.table.table import Rows, split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.context import StepContext
from include.steps.user_code import importable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

PLAIN = "plain"
CALIBRATION_ROWS = 512
FLOAT32 = 1e-4
"""Difference that float32 arithmetic explains: of probabilities, and of numbers relative to the target's spread. Seen: 1e-6 to 1e-5."""
LOSSY = 0.05
"""The same for 8-bit arithmetic; what it costs in score is bounded apart, by the spec's ``max_score_drop``."""
QUANTUM = 0.01
"""What one value rounded to the next 8-bit step may change: how far two runs of one quantised model may be apart."""
GOLDEN_SEARCH = 8
"""Rows looked at for each golden input wanted."""


@dataclass(frozen=True)
class Candidate:
    """A form of the model: its ``file``, or the ``reason`` why there is none; ``tolerance`` is what parity allows it.

    ``plan``: the folder of its TensorRT plan; empty when ONNX Runtime runs it.
    """

    name: str
    file: str | None
    tolerance: Tolerance
    reason: str = ""
    lossy: bool = False
    plan: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Candidate:
        tolerance = Tolerance(**data["tolerance"])
        return cls(data["name"], data["file"], tolerance, data["reason"], data["lossy"], data.get("plan", ""))


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``folder`` (the step's out) and ``candidates`` (name to file or reason)."""
    spec = ctx.spec(ModelSpec)
    train, test = split_rows(ctx.input("table"), spec)
    plain = ctx.out / f"{PLAIN}.onnx"
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)
        found = exported(model, train, test, spec.task, plain, scaled(FLOAT32, train.y, spec.task))
        signature = found.signature
        signature.save(ctx.out / "signature.json")
        golden(found, test, spec, scaled(FLOAT32, train.y, spec.task)).save(ctx.out / "golden.json")
    print(found.sentence, flush=True)
    candidates = _candidates(plain, signature, train, spec)
    (ctx.out / "candidates.json").write_text(json.dumps([asdict(candidate) for candidate in candidates], indent=1))
    for candidate in candidates:
        print(f"{candidate.name}: {candidate.file or candidate.reason}", flush=True)
    return {"folder": str(ctx.out), "candidates": {candidate.name: candidate.file or candidate.reason for candidate in candidates}}


def scaled(share: float, y: pd.Series[Any], task: Task) -> Tolerance:
    """``share`` as a tolerance: of probabilities as it is, of a regression's numbers relative to them and to the target's spread."""
    if task is Task.CLASSIFICATION:
        return Tolerance(share)
    return Tolerance(share * (float(y.std(ddof=0)) or 1.0), share)


def _candidates(plain: Path, signature: Signature, train: Rows, spec: ModelSpec) -> list[Candidate]:
    calibration = to_tensors(signature, train.x.head(CALIBRATION_ROWS))
    exact = scaled(FLOAT32, train.y, spec.task)
    found = [Candidate(PLAIN, plain.name, exact)]
    for name, optimizer in optimizers(spec).items():
        out = plain.with_name(f"{name}.onnx")
        built = optimizer.build(plain, out, calibration)
        if isinstance(built, Built):
            allowed = scaled(LOSSY, train.y, spec.task) if built.lossy else exact
            found.append(Candidate(name, out.name, allowed, lossy=built.lossy, plan=built.plan))
        else:
            out.unlink(missing_ok=True)
            found.append(Candidate(name, None, exact, built.reason))
    insist(found, spec)
    return found


def insist(found: list[Candidate], spec: ModelSpec) -> None:
    """InputError when the spec demands a plan and there is none."""
    precise = {method.value for method in spec.optimize.methods if method.precision}
    missing = [one for one in found if one.name in precise and one.file is None]
    if spec.optimize.tensorrt.required and missing:
        raise InputError(
            f"{missing[0].name} was not made: {missing[0].reason}.",
            where="optimize.tensorrt.required",
            remedy="Give the step what it needs, or leave `required` out: ONNX Runtime's forms are served then.",
        )


def golden(found: Exported, test: Rows, spec: ModelSpec, tolerance: Tolerance) -> Golden:
    """Held-out rows on which the original's answer is stable, some with a missing value, and rows unlike them, with the original's answers.

    ``optimize.golden_inputs`` rows: half of them complete, a quarter with missing values, a quarter probes, as far as there are such rows.
    """
    import pandas as pd

    wanted = spec.optimize.golden_inputs
    x = test.x
    missing = (x.isna() | (x == "")).any(axis=1).to_numpy()
    sides = [_stable(found, x[side].head(wanted * GOLDEN_SEARCH), tolerance) for side in (~missing, missing)]
    unlike = found.unlike()
    shares = [part.head(share) for part, share in zip((sides[1], unlike), (wanted // 4, wanted // 4), strict=True)]
    complete = sides[0].head(wanted - sum(map(len, shares)))
    chosen = pd.concat([complete, *shares], ignore_index=True) if any(map(len, shares)) else complete
    if chosen.empty:
        chosen = x.head(wanted)
    said = found.ask(chosen.astype(x.dtypes))
    arrays = to_tensors(found.signature, chosen.astype(x.dtypes))
    return to_golden(found.signature, arrays, _outputs(said, found.signature), tolerance)


def _stable(found: Exported, rows: pd.DataFrame, tolerance: Tolerance) -> pd.DataFrame:
    if rows.empty:
        return rows
    return rows[stable_rows(found.ask, rows, lambda a, b: near(a, b, tolerance), found.wide)]


def _outputs(said: answers.Answers, signature: Signature) -> dict[str, npt.NDArray[Any]]:
    if signature.outputs[0].name == PREDICTION:
        return {PREDICTION: said.values.reshape(-1, 1)}
    found = {LABEL: said.values.reshape(-1, 1)}
    if said.probabilities is not None:
        found[PROBABILITIES] = said.probabilities
    return found
