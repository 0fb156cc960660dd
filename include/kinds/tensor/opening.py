"""A model as a step finds it: the graph of an earlier step with the code in the model's folder, or a bundle with its own."""

from __future__ import annotations

from pathlib import Path

from include.backends import options
from include.bundles.signature import Signature
from include.kinds.rows.rows import Rows
from include.kinds.tensor import wrapper
from include.kinds.tensor.assembly import MODEL, SIGNATURE
from include.kinds.tensor.columns import columns_of, described
from include.kinds.tensor.pipeline import Pipeline
from include.kinds.tensor.spec import TensorSpec
from include.steps.context import StepContext


def opened(ctx: StepContext, spec: TensorSpec, folder: Path, rows: Rows, file: str = MODEL) -> Pipeline:
    """Return the graph ``file`` in ``folder`` with the code in the model's folder and the run's parameters of it."""
    params = {name: ctx.params.get(name, default) for name, default in spec.param_defaults("serve").items()}
    code = wrapper.load(ctx.folder, spec.serve.classes().get("wrapper"), params)
    return Pipeline(folder / file, Signature.read(folder / SIGNATURE), columns_of(rows.x, spec.data), code, ctx.folder)


def of_bundle(bundle: Path, rows: Rows) -> Pipeline:
    """Return the served model in ``bundle``, with its own code, for today's ``rows``, which have all of its columns."""
    signature = Signature.read(bundle / SIGNATURE)
    serve, params = options.read(bundle)
    code = wrapper.load(bundle / "code", serve.classes().get("wrapper"), params)
    columns = described(rows.table, signature.features, signature.images)
    return Pipeline(bundle / MODEL, signature, columns, code, bundle / "code")
