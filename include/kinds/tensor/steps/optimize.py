"""Step `optimize`: faster forms of the graph, beside golden inputs with its answers. Runtime `trainer`.

Inputs: ``table``, ``model`` (the graph). Writes ``plain.onnx``, ``<method>.onnx``, ``signature.json``,
``golden.json`` and ``candidates.json``.
"""

from __future__ import annotations

import base64
import shutil
from typing import Any

from include.bundles.golden import Golden, Tolerance, to_golden
from include.bundles.signature import Signature
from include.kinds.forms.candidates import CALIBRATION_ROWS, FLOAT32, PLAIN, forms, report, scaled
from include.kinds.forms.onnx_model import Tensors
from include.kinds.rows.rows import Rows
from include.kinds.tensor.assembly import SIGNATURE
from include.kinds.tensor.opening import opened
from include.kinds.tensor.pipeline import Pipeline
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import split_rows
from include.steps.context import StepContext

CALIBRATION_BYTES = 256 * 2**20
"""Of the graph's inputs that an 8-bit form is calibrated with."""
GOLDEN_BYTES = 2 * 2**20
"""Of pictures in golden inputs: they are asked in one request, and the gateway takes 8 MiB."""


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``folder`` (the step's out) and ``candidates`` (name to file or reason)."""
    import numpy as np

    spec = ctx.spec(TensorSpec)
    train, test = split_rows(ctx.input("table"), spec)
    source = ctx.input("model")
    signature = Signature.read(source.with_name(SIGNATURE))
    plain = ctx.out / f"{PLAIN}.onnx"
    shutil.copyfile(source, plain)
    signature.save(ctx.out / SIGNATURE)
    model = opened(ctx, spec, source.parent, train)
    golden(model, test, spec, scaled(FLOAT32, train.y, spec.task)).save(ctx.out / "golden.json")
    first = model.before(model.tensors(train.x.head(1)))
    rows = max(1, min(CALIBRATION_ROWS, CALIBRATION_BYTES // max(1, sum(np.asarray(array).nbytes for array in first.values()))))
    parts = [model.before(model.tensors(train.x.iloc[start : start + 64])) for start in range(0, min(rows, len(train)), 64)]
    calibration = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return report(forms(plain, calibration, train.y, spec), ctx.out)


def golden(model: Pipeline, test: Rows, spec: TensorSpec, tolerance: Tolerance) -> Golden:
    """Held-out rows with the model's answers: ``optimize.golden_inputs`` of them, fewer where their pictures are large."""
    rows = test.x.head(spec.optimize.golden_inputs)
    images = list(model.signature.images)
    size = 0
    for at in range(len(rows)):
        size += sum(len(rows[name].iloc[at]) for name in images)
        if size > GOLDEN_BYTES and at:
            rows = rows.head(at)
            break
    sent = model.tensors(rows)
    return to_golden(model.signature, as_json(sent, model.signature), model.run(sent), tolerance)


def as_json(sent: Tensors, signature: Signature) -> Tensors:
    """Return input tensors as JSON can hold them: pictures as Base64."""
    import numpy as np

    def coded(array: Any) -> Any:
        return np.array([base64.b64encode(item).decode() for item in array.ravel()], dtype=object).reshape(array.shape)

    return {name: coded(array) if name in signature.images else array for name, array in sent.items()}
