"""What is laid down of the form that is served: its golden answers, and its entry in MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles import api, manifest
from include.bundles.golden import Golden, Tolerance, arrays, to_golden
from include.bundles.signature import LABEL, PROBABILITIES, Signature
from include.errors import InputError
from include.kinds.forms.candidates import FLOAT32, LOSSY, QUANTUM, Candidate, scaled
from include.kinds.forms.choice import Judged, figures, row
from include.kinds.forms.onnx_model import TensorModel, Tensors
from include.kinds.rows.split import SPLIT
from include.spec.schema import Spec
from include.steps.context import StepContext
from include.steps.tracking import Tracking, requirements, tracked
from include.tensorrt import plan as plans
from include.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

CLEAR = 4
"""A label is golden for serving when its probability leads by this many tolerances: neither side's rounding can then turn it."""


BUNDLE = "bundle"
"""The folder in step `verify`'s own that is served from."""


def lay_down(
    ctx: StepContext,
    spec: Spec,
    verdict: Verdict,
    judged: Sequence[Judged],
    model: TensorModel,
    golden: Golden,
    y: pd.Series[Any],
    plan: Path | None = None,
) -> dict[str, Any]:
    """Make the bundle of the form that ``verdict`` has chosen, log it to the MLflow run, and return step `verify`'s result.

    ``model`` is the verdict's portable form, ``golden`` the original's answers, ``y`` what is right of the training rows, and ``plan`` the
    folder with the chosen form's plan, where it is one.
    """
    folder, bundle = ctx.input("optimized"), ctx.out / BUNDLE
    chosen, portable = str(verdict.evidence["chosen"]), str(verdict.evidence["portable"])
    candidate = next(one.candidate for one in judged if one.name == chosen)
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    shutil.copyfile(folder / f"{portable}.onnx", bundle / "model.onnx")
    model.signature.save(bundle / "signature.json")
    (bundle / SPLIT).write_text(spec.data.model_dump_json(indent=1))
    if candidate.plan and plan:
        shutil.copytree(plan, bundle / plans.FOLDER)
    tolerance = scaled(apart(candidate), y, spec.task)
    served_golden(model, golden, model.signature, tolerance, spec.turns_at).save(bundle / "golden.json")
    table = [row(one, spec.optimize.max_score_drop) for one in judged]
    (bundle / "optimization.json").write_text(json.dumps({"chosen": chosen, "candidates": table, "verdict": verdict.to_json()}, indent=1))
    manifest.write(bundle)
    with tracked(ctx) as tracking:
        uri = log(tracking, bundle, model.signature, judged, chosen)
    print("\n".join(verdict.reasons), flush=True)
    return {"chosen": chosen, "candidates": table, "bundle": str(bundle), "model_uri": uri, "verdict": verdict.to_json()}


def check_api(ctx: StepContext, signature: Signature, spec: Spec) -> None:
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


def apart(one: Candidate) -> float:
    """How far the answers of what is deployed may be from the recorded ones. A plan's deployment may fall back to the portable form."""
    if one.plan:
        return LOSSY if one.lossy else QUANTUM
    return QUANTUM if one.lossy else FLOAT32


def served_golden(model: TensorModel, golden: Golden, signature: Signature, tolerance: Tolerance, turns_at: float | None = None) -> Golden:
    """The golden inputs with the served model's own answers, which is what a deployment is compared with; near ties are left out.

    ``turns_at``: the probability from which on a row is given a label, where it may have several."""
    inputs = arrays(golden, signature)
    said = model.run(inputs)
    clear = _clear(said, tolerance, turns_at)
    if clear.any():
        inputs, said = ({name: array[clear] for name, array in part.items()} for part in (inputs, said))
    return to_golden(signature, inputs, said, tolerance)


def _clear(said: Tensors, tolerance: Tolerance, turns_at: float | None) -> npt.NDArray[np.bool_]:
    import numpy as np

    rows = len(next(iter(said.values())))
    if LABEL not in said or PROBABILITIES not in said or said[PROBABILITIES].shape[1] < 2:
        return np.ones(rows, dtype=bool)
    clear: npt.NDArray[np.bool_]
    if turns_at is not None:
        clear = np.all(np.abs(said[PROBABILITIES] - turns_at) > CLEAR * tolerance.absolute, axis=1)
        return clear
    ranked = np.sort(said[PROBABILITIES], axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR * tolerance.absolute
    return clear


def log(tracking: Tracking, bundle: Path, signature: Signature, judged: Sequence[Judged], chosen: str) -> str:
    """Log figures, the bundle and the model "serving"; return that model's URI."""
    import mlflow.onnx
    import onnx

    tracking.metrics(figures(judged), prefix="forms/")
    # A tag and no parameter: a repeated step may choose otherwise, and MLflow's parameters never change.
    tracking.tag("updraft.served_form", chosen)
    tracking.artifact(bundle, bundle.name)
    tracking.forget_model("serving")
    info = mlflow.onnx.log_model(
        onnx.load(bundle / "model.onnx"),
        name="serving",
        signature=signature.to_mlflow(),
        pip_requirements=requirements("mlflow", "onnx", "onnxruntime"),
        save_as_external_data=False,
    )
    return str(info.model_uri)
