"""Step `evaluate`: the model's figures on the held-out rows, with intervals, by slice, beside the champion's. Runtime `trainer`.

Inputs: ``table``, ``model`` (model.skops), ``mlflow_run_id``; optional ``champion`` (folder with the served ``model.onnx`` and
``signature.json``), ``champion_version`` and ``champion_table`` (its snapshot). Writes ``evaluation.json`` and
``reference.parquet`` (the held-out rows with the model's answers); logs the metrics and both files to the MLflow run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.bundles import api
from include.bundles.limits import Limit
from include.bundles.signature import LABEL, PROBABILITIES, Signature, Tensor
from include.data.table import read
from include.kinds.forms.onnx_model import OnnxModel
from include.kinds.rows import answers
from include.kinds.rows.evaluation import REFERENCE, champion_of, evaluate, keep, reference, unseen_by
from include.kinds.rows.rows import Rows
from include.kinds.table import stored_model
from include.kinds.table.onnx_export import dropped, inputs_of
from include.kinds.table.probes import Kind, ask_original, probes, refused_by_original
from include.kinds.table.table import features, split_rows
from include.spec.data import Data
from include.spec.schema import ModelSpec, Task
from include.steps.context import StepContext
from include.steps.tracking import tracked
from include.steps.user_code import explained, importable

if TYPE_CHECKING:
    import pandas as pd


def run(ctx: StepContext) -> dict[str, Any]:
    """Result: ``evaluation`` (path), ``metrics`` (name to value), ``score``, ``rows``."""
    spec = ctx.spec(ModelSpec)
    train, test = split_rows(ctx.input("table"), spec)
    with importable(ctx.folder):
        model = stored_model.load(ctx.input("model"), spec.train.trusted_types)
        with explained(ctx.folder, "predict() on the held-out rows"):
            ours = answers.of_estimator(model, test.x, spec.task)
        expected = _expected(model, train, ours, spec.task) if "champion" in ctx.request.inputs else None

    def ask(folder: Path, signature: Signature) -> answers.Answers:
        return OnnxModel(folder / "model.onnx", signature).answers(features(test.table, list(signature.features)))

    champion, theirs = champion_of(ctx, test, ask)
    fresh = unseen_by(ctx, spec.data, test.table, champion, _read)
    evaluation = evaluate(spec, test, train, ours, champion, theirs, fresh, folder=ctx.folder)
    if expected is not None:
        before = Signature.read(ctx.input("champion") / "signature.json")
        evaluation = replace(evaluation, api_changes=api.changes(before, expected))
    reference(test, ours).to_parquet(ctx.out / REFERENCE)
    with tracked(ctx) as tracking:
        return keep(evaluation, ctx.out, tracking)


def _expected(model: Any, train: Rows, ours: answers.Answers, task: Task) -> Signature:
    """What the new version will take and give, as far as data and model say it before there is an export: of a regression no outputs (its
    one output's type is the export's), of limits only the missing values that the model itself refuses."""
    unused = dropped(model, list(train.x.columns))
    inputs = tuple(replace(tensor, optional=tensor.name in unused) for tensor in inputs_of(train.x, train.wide))
    outputs: tuple[Tensor, ...] = ()
    if task is Task.CLASSIFICATION:
        kind = "INT64" if all(isinstance(label, int) for label in ours.classes) else "BYTES"
        outputs = (Tensor(LABEL, kind, (-1, 1)),)
        outputs += (Tensor(PROBABILITIES, "FP32", (-1, len(ours.classes))),) if ours.probabilities is not None else ()

    def ask(x: pd.DataFrame) -> answers.Answers:
        return answers.of_estimator(model, x, task)

    found = [ask_original(probe, ask) for probe in probes(train.x, train.wide, (Kind.MISSING,))]
    limits = {name: Limit(missing=False) for name, _ in refused_by_original(found, train.x)}
    return Signature(inputs, outputs, tuple(train.x.columns), ours.classes, limits)


def _read(path: Path, data: Data) -> pd.DataFrame:
    return read(path, data.csv)
