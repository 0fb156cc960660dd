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
from include.kinds.table.onnx_export import export
from include.kinds.table.onnx_model import to_tensors
from include.kinds.table.optimizers import Built, optimizers
from include.kinds.table.stable_rows import stable_rows
from include.kinds.table.table import Rows, split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.context import StepContext
from include.steps.user_code import importable

if TYPE_CHECKING:
    import numpy as np
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
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)
        proto = export(model, train.x, spec.task)
        plain = ctx.out / f"{PLAIN}.onnx"
        plain.write_bytes(proto.SerializeToString())
        classes = answers.classes_of(model) if spec.task is Task.CLASSIFICATION else ()
        signature = _signature(plain, tuple(train.x.columns), classes)
        signature.save(ctx.out / "signature.json")
        golden(model, signature, train, test, spec).save(ctx.out / "golden.json")
    candidates = _candidates(plain, signature, train, spec)
    (ctx.out / "candidates.json").write_text(json.dumps([asdict(candidate) for candidate in candidates], indent=1))
    for candidate in candidates:
        print(f"{candidate.name}: {candidate.file or candidate.reason}", flush=True)
    return {"folder": str(ctx.out), "candidates": {candidate.name: candidate.file or candidate.reason for candidate in candidates}}


def _signature(plain: Path, features: tuple[str, ...], classes: tuple[int | str, ...]) -> Signature:
    try:
        return Signature.from_onnx(plain, features, classes)
    except Exception as error:
        raise InputError(
            f"ONNX Runtime refuses the exported model: {error}", where="train.entry", remedy="Replace the part of the model that it names."
        ) from error


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


def golden(model: Any, signature: Signature, train: Rows, test: Rows, spec: ModelSpec) -> Golden:
    """The first held-out rows without missing numbers on which the original's answer is stable, with that answer."""
    tolerance = scaled(FLOAT32, train.y, spec.task)
    rows = _complete(test.x).head(spec.optimize.golden_inputs * GOLDEN_SEARCH)
    if rows.empty:
        raise InputError(
            "every held-out row misses a number, so none can be a golden input.",
            where="data",
            remedy="Fill missing values in the data source, at least in some rows.",
        )

    def close(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        near: npt.NDArray[np.bool_] = abs(a - b) <= tolerance.absolute + tolerance.relative * abs(b)
        return near

    stable = stable_rows(lambda x: answers.of_estimator(model, x, spec.task), rows, close)
    chosen = (rows[stable] if stable.any() else rows).head(spec.optimize.golden_inputs)
    said = answers.of_estimator(model, chosen, spec.task)
    return to_golden(signature, to_tensors(signature, chosen), _outputs(said, signature), tolerance)


def _complete(x: pd.DataFrame) -> pd.DataFrame:
    import numpy as np

    numbers = x.select_dtypes("number")
    return x[np.isfinite(numbers.to_numpy()).all(axis=1)] if numbers.shape[1] else x


def _outputs(said: answers.Answers, signature: Signature) -> dict[str, npt.NDArray[Any]]:
    if signature.outputs[0].name == PREDICTION:
        return {PREDICTION: said.values.reshape(-1, 1)}
    found = {LABEL: said.values.reshape(-1, 1)}
    if said.probabilities is not None:
        found[PROBABILITIES] = said.probabilities
    return found
