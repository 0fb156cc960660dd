"""Step `evaluate`: the model's figures on the held-out rows, with intervals, by slice, beside the champion's. Runtime `trainer`.

Inputs: ``table``, ``model`` (the graph), ``mlflow_run_id``; optional ``champion`` (its bundle), ``champion_version`` and ``champion_table``
(its snapshot). Writes ``evaluation.json`` and ``reference.parquet``; logs the metrics and both files to the MLflow run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from include.bundles import api
from include.bundles.signature import Signature
from include.data.table import read
from include.errors import InputError
from include.gates.evaluation import Champion
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import REFERENCE, evaluate, keep, nowhere, reference
from include.kinds.rows.rows import Rows
from include.kinds.rows.unseen import Unseen, unseen
from include.kinds.tensor.assembly import SIGNATURE
from include.kinds.tensor.columns import Holds, columns_of
from include.kinds.tensor.opening import of_bundle, opened
from include.kinds.tensor.spec import TensorData, TensorSpec
from include.kinds.tensor.table import hashable, split_rows
from include.steps.context import StepContext
from include.steps.tracking import tracked

SPLIT = "split.json"
"""How the champion's snapshot was split, in its bundle."""


def run(ctx: StepContext) -> dict[str, Any]:
    """Result: ``evaluation`` (path), ``metrics`` (name to value), ``score``, ``rows``."""
    spec = ctx.spec(TensorSpec)
    train, test = split_rows(ctx.input("table"), spec)
    model = opened(ctx, spec, ctx.input("model").parent, train)
    ours = model.answers(test.x)
    champion, theirs = _champion(ctx, test)
    found = evaluate(spec, test, train, ours, champion, theirs, _unseen(ctx, spec, test, champion))
    if champion is not None:
        found = replace(found, api_changes=api.changes(Signature.read(ctx.input("champion") / SIGNATURE), model.signature))
    # Of pictures and arrays no distribution is compared; that there are such columns, production's watch must know.
    empty = {column.name: None for column in columns_of(test.x, spec.data) if column.holds in (Holds.PICTURE, Holds.ARRAY)}
    reference(replace(test, x=test.x.assign(**empty)), ours).to_parquet(ctx.out / REFERENCE)
    with tracked(ctx) as tracking:
        return keep(found, ctx.out, tracking)


def _champion(ctx: StepContext, test: Rows) -> tuple[Champion | None, Answers | None]:
    if "champion" not in ctx.request.inputs:
        return None, None
    version, folder = ctx.request.inputs.get("champion_version", ""), ctx.input("champion")
    signature = Signature.read(folder / SIGNATURE)
    missing = [name for name in signature.features if name not in test.table.columns]
    if missing:
        return Champion(version, not_comparable=f"champion {version} needs columns that the data no longer has: {', '.join(missing)}"), None
    try:
        return Champion(version), of_bundle(folder, test).answers(test.x.join(test.table[_more(signature, test)]))
    except Exception as error:  # ONNX Runtime's own errors too, and the champion's code
        return Champion(version, not_comparable=f"champion {version} does not take today's columns: {error}"), None


def _more(signature: Signature, test: Rows) -> list[str]:
    """The champion's columns that are no features any more."""
    return [name for name in signature.features if name not in test.x.columns]


def _unseen(ctx: StepContext, spec: TensorSpec, test: Rows, champion: Champion | None) -> Unseen | None:
    """Which held-out rows the champion has not seen; None when its snapshot is not at hand."""
    if champion is None or "champion_table" not in ctx.request.inputs:
        return None
    path = ctx.input("champion") / SPLIT
    data = TensorData.model_validate_json(path.read_text()) if path.exists() else spec.data
    today, before = (hashable(read(ctx.input(name)), spec.data) for name in ("table", "champion_table"))
    try:
        return unseen(today, hashable(test.table, spec.data), spec.data, before, data)
    except (InputError, KeyError) as error:
        return Unseen(nowhere(len(test)), f"its snapshot can't be compared with today's: {error}")
