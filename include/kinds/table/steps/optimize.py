"""Step `optimize`: the model as ONNX, and its faster forms, beside the answers of the original to compare them with. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops). Writes ``plain.onnx``, one ``<method>.onnx`` for each optimisation that there is,
``signature.json``, ``golden.json`` (the original's answers) and ``candidates.json``. A TensorRT plan lies in ``<method>/``; it is built
in runtime `tensorrt`, on the GPU that the step holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.bundles.golden import Golden, Tolerance, to_golden
from include.bundles.signature import LABEL, PREDICTION, PROBABILITIES, Signature
from include.kinds.forms.candidates import CALIBRATION_ROWS, FLOAT32, PLAIN, forms, report, scaled
from include.kinds.forms.onnx_model import to_tensors
from include.kinds.rows import answers
from include.kinds.rows.rows import Rows
from include.kinds.table import stored_model
from include.kinds.table.export import Exported, exported
from include.kinds.table.parity import near
from include.kinds.table.stable_rows import stable_rows
from include.kinds.table.table import split_rows
from include.spec.schema import ModelSpec
from include.steps.context import StepContext
from include.steps.user_code import importable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

GOLDEN_SEARCH = 8
"""Rows looked at for each golden input wanted."""


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
    return report(forms(plain, to_tensors(signature, train.x.head(CALIBRATION_ROWS)), train.y, spec), ctx.out)


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
