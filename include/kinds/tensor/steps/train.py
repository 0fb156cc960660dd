"""Step `train`: the model as an ONNX graph, put together with the code around it. Runtime `torch`, or `trainer` for a file that is brought.

Inputs: ``table``, ``mlflow_run_id``. Writes ``model.onnx`` and ``signature.json``; logs parameters, figures and
the model to the MLflow run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from include.gates.metrics import score_metric
from include.kinds.rows.training import training_metrics
from include.kinds.tensor import registered, wrapper
from include.kinds.tensor.assembly import MODEL, Parts, assemble
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import split_rows
from include.steps.context import StepContext
from include.steps.tracking import Tracking, requirements, tracked

if TYPE_CHECKING:
    from onnx import ModelProto

JUDGED_ROWS = 2000
"""Training rows that the training figures are of, at most."""


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
        graph = registered.read(ctx.folder, spec.base) if spec.base else _trained(ctx, parts, params)
        if graph is None:
            return {}
        seconds = time.monotonic() - started
        where = f"base {spec.base}" if spec.base else f"train.entry {spec.train.entry}"
        made = assemble(graph, parts, ctx.out, where)
        judged = _spread(len(train))
        said = made.answers(train.x.iloc[judged])
        # Of a file that is brought these rows have taught nothing, and a part of the rows may be of one class.
        must_score = not spec.base and len(judged) == len(train)
        metrics = training_metrics(spec, said, train.y.iloc[judged], where, must_score=must_score)
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


def _spread(rows: int) -> list[int]:
    """The numbers of the rows that are judged, all through: the first ones of a sorted table may be of one class."""
    return [at * rows // min(rows, JUDGED_ROWS) for at in range(min(rows, JUDGED_ROWS))]


def _listed(tensors: Any) -> str:
    return ", ".join(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in tensors)


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
