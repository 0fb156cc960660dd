"""Step `evaluate`: the model's figures on the held-out rows, with intervals, by slice, beside the champion's. Runtime `trainer`.

Inputs: ``table``, ``model`` (the graph), ``mlflow_run_id``; optional ``champion`` (its bundle), ``champion_version`` and ``champion_table``
(its snapshot). Writes ``evaluation.json`` and ``reference.parquet``; logs the metrics and both files to the MLflow run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles import api
from include.bundles.signature import Signature
from include.data.table import read
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import REFERENCE, champion_of, evaluate, keep, reference, unseen_by
from include.kinds.rows.rows import Rows
from include.kinds.tensor.assembly import SIGNATURE
from include.kinds.tensor.columns import Holds, columns_of
from include.kinds.tensor.opening import of_bundle, opened
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import hashable, split_rows
from include.spec.data import Data
from include.steps.context import StepContext
from include.steps.tracking import tracked

if TYPE_CHECKING:
    import pandas as pd


def run(ctx: StepContext) -> dict[str, Any]:
    """Result: ``evaluation`` (path), ``metrics`` (name to value), ``score``, ``rows``."""
    spec = ctx.spec(TensorSpec)
    train, test = split_rows(ctx.input("table"), spec)
    model = opened(ctx, spec, ctx.input("model").parent, train)
    ours = model.answers(test.x)

    def ask(folder: Path, signature: Signature) -> Answers:
        return of_bundle(folder, test).answers(test.x.join(test.table[_more(signature, test)]))

    champion, theirs = champion_of(ctx, test, ask)
    fresh = unseen_by(ctx, spec.data, hashable(test.table), champion, _read)
    found = evaluate(spec, test, train, ours, champion, theirs, fresh, folder=ctx.folder)
    if champion is not None:
        found = replace(found, api_changes=api.changes(Signature.read(ctx.input("champion") / SIGNATURE), model.signature))
    # Of pictures and arrays no distribution is compared; that there are such columns, production's watch must know.
    empty = {column.name: None for column in columns_of(test.x, spec.data) if column.holds in (Holds.PICTURE, Holds.ARRAY)}
    reference(replace(test, x=test.x.assign(**empty)), ours).to_parquet(ctx.out / REFERENCE)
    with tracked(ctx) as tracking:
        return keep(found, ctx.out, tracking)


def _more(signature: Signature, test: Rows) -> list[str]:
    """The champion's columns that are no features any more."""
    return [name for name in signature.features if name not in test.x.columns]


def _read(path: Path, data: Data) -> pd.DataFrame:
    return hashable(read(path))
