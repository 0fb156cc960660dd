"""The forms of a model that the step `optimize` makes, and how far each may be from the original."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Tolerance
from include.errors import InputError
from include.kinds.forms.optimizers import Built, Calibration, optimizers
from include.spec.schema import Spec, Task

if TYPE_CHECKING:
    import pandas as pd

PLAIN = "plain"
FILE = "candidates.json"
CALIBRATION_ROWS = 512
FLOAT32 = 1e-4
"""Difference that float32 arithmetic explains: of probabilities, and of numbers relative to the target's spread. Seen: 1e-6 to 1e-5."""
LOSSY = 0.05
"""The same for 8-bit arithmetic; what it costs in score is bounded apart, by the spec's ``max_score_drop``."""
QUANTUM = 0.01
"""What one value rounded to the next 8-bit step may change: how far two runs of one quantised model may be apart."""


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


def scaled(share: float, y: pd.Series[Any], task: Task) -> Tolerance:
    """``share`` as a tolerance: of probabilities as it is, of a regression's numbers relative to them and to the target's spread."""
    if task is not Task.REGRESSION:
        return Tolerance(share)
    return Tolerance(share * (float(y.std(ddof=0)) or 1.0), share)


def forms(plain: Path, calibration: Calibration, y: pd.Series[Any], spec: Spec) -> list[Candidate]:
    """Return the ``plain`` export and a form beside it for each of the spec's methods; ``y``: the target of the training rows."""
    exact = scaled(FLOAT32, y, spec.task)
    found = [Candidate(PLAIN, plain.name, exact)]
    for name, optimizer in optimizers(spec).items():
        out = plain.with_name(f"{name}.onnx")
        built = optimizer.build(plain, out, calibration)
        if isinstance(built, Built):
            allowed = scaled(LOSSY, y, spec.task) if built.lossy else exact
            found.append(Candidate(name, out.name, allowed, lossy=built.lossy, plan=built.plan))
        else:
            out.unlink(missing_ok=True)
            found.append(Candidate(name, None, exact, built.reason))
    insist(found, spec)
    return found


def insist(found: Sequence[Candidate], spec: Spec) -> None:
    """InputError when the spec demands a plan and there is none."""
    precise = {method.value for method in spec.optimize.methods if method.precision}
    missing = [one for one in found if one.name in precise and one.file is None]
    if spec.optimize.tensorrt.required and missing:
        raise InputError(
            f"{missing[0].name} was not made: {missing[0].reason}.",
            where="optimize.tensorrt.required",
            remedy="Give the step what it needs, or leave `required` out: ONNX Runtime's forms are served then.",
        )


def report(found: Sequence[Candidate], folder: Path) -> dict[str, Any]:
    """Write ``candidates.json`` into the step's ``folder`` and return the step's result."""
    (folder / FILE).write_text(json.dumps([asdict(candidate) for candidate in found], indent=1))
    said = {candidate.name: candidate.file or candidate.reason for candidate in found}
    for name, what in said.items():
        print(f"{name}: {what}", flush=True)
    return {"folder": str(folder), "candidates": said}


def read(folder: Path) -> list[Candidate]:
    """Return what :func:`report` has written there."""
    return [Candidate.from_json(entry) for entry in json.loads((folder / FILE).read_text())]
