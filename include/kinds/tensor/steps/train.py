"""Step `train`: the model as an ONNX graph, put together with the code around it. Runtime `torch`, or `trainer` for a file that is brought.

Inputs: ``table``, ``mlflow_run_id``. Writes ``model.onnx`` and ``signature.json``; logs parameters, figures and
the model to the MLflow run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.metrics import metrics_of, score_metric
from include.gates.paired import estimate
from include.kinds.rows import answers
from include.kinds.rows.rows import Rows
from include.kinds.tensor import onnx_file, wrapper
from include.kinds.tensor.assembly import MODEL, Parts, assemble
from include.kinds.tensor.pipeline import Pipeline
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import split_rows
from include.spec.schema import Task
from include.steps.context import StepContext
from include.steps.tracking import Tracking, requirements, tracked

if TYPE_CHECKING:
    from onnx import ModelProto

JUDGED_ROWS = 2000
"""Training rows that the training figures are of."""


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``model`` (path of the graph), ``model_uri``, ``metrics`` (training rows), ``seconds``, ``rows``, ``held_out``."""
    spec = ctx.spec(TensorSpec)
    score_metric(spec)
    train, test = split_rows(ctx.input("table"), spec)
    params = {name: ctx.params.get(name, default) for name, default in spec.param_defaults("train").items()}
    around = {name: ctx.params.get(name, default) for name, default in spec.param_defaults("serve").items()}
    code = wrapper.load(ctx.folder, spec.serve.classes().get("wrapper"), around)
    parts = Parts(spec, train, [*train.y, *test.y], code, ctx.folder)
    with tracked(ctx) as tracking:
        if ctx.rank == 0:
            tracking.params(params | {"rows": len(train), "held_out_rows": len(test), "features": train.x.shape[1]})
        started = time.monotonic()
        graph = onnx_file.read(ctx.folder, spec.base) if spec.base else _trained(ctx, parts, params)
        if graph is None:
            return {}
        seconds = time.monotonic() - started
        made = assemble(graph, parts, ctx.out, f"base {spec.base}" if spec.base else f"train.entry {spec.train.entry}")
        metrics = _training_metrics(made, train, spec)
        tracking.metrics(metrics, prefix="train/")
        tracking.metrics({"train/seconds": seconds})
        uri = _log_model(tracking, ctx)
    print(f"{MODEL}: takes {_listed(made.signature.inputs)}; gives {_listed(made.signature.outputs)}", flush=True)
    return {
        "model": str(ctx.out / MODEL),
        "model_uri": uri,
        "metrics": metrics,
        "seconds": seconds,
        "rows": len(train),
        "held_out": len(test),
    }


def _trained(ctx: StepContext, parts: Parts, params: dict[str, Any]) -> ModelProto | None:
    """The graph of what the user's function returns; None on every worker but the first."""
    from include.kinds.tensor.torch_training import train

    return train(parts, params, ctx.rank)


def _listed(tensors: Any) -> str:
    return ", ".join(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in tensors)


def _training_metrics(made: Pipeline, train: Rows, spec: TensorSpec) -> dict[str, float]:
    import numpy as np

    x, y = train.x.head(JUDGED_ROWS), train.y.head(JUDGED_ROWS)
    said = made.answers(x)
    numbers = said.values if spec.task is Task.REGRESSION else said.probabilities
    if numbers is not None and not np.isfinite(numbers).all():
        what = "the model answers NaN or infinity for training rows."
        raise InputError(what, where="train", remedy="Look for huge values in the data and for a learning rate that diverges.")
    known = answers.universe(y, said.classes, said.values) if spec.task is Task.CLASSIFICATION else ()
    outcome = answers.outcome(said, y, known)
    found = {name: estimate(metric, outcome) for name, metric in metrics_of(spec.task).items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _log_model(tracking: Tracking, ctx: StepContext) -> str:
    import mlflow.onnx
    import onnx

    tracking.forget_model("model")
    info = mlflow.onnx.log_model(
        onnx.load(str(ctx.out / MODEL)),
        name="model",
        pip_requirements=requirements("mlflow", "onnx", "onnxruntime"),
        save_as_external_data=False,
    )
    return str(info.model_uri)
