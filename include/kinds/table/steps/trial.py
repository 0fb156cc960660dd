"""Step `trial`: one set of hyperparameters, cross-validated on the training rows. Runs where step `train` runs.

Inputs: ``table`` (path), ``mlflow_run_id`` (the trial's own run). Its parameters are the request's; folds, metric and bars are what the
request says of the trial. Writes ``outcomes.npz``.
"""

from __future__ import annotations

from typing import Any

from include.kinds.rows import answers, trial
from include.kinds.table.steps.train import check_model
from include.kinds.table.table import split_rows
from include.search.folds import Fold
from include.spec.schema import ModelSpec
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry


def run(ctx: StepContext) -> dict[str, Any]:
    """What :func:`include.kinds.rows.trial.run` returns. The held-out rows of the table are set aside before anything else."""
    spec = ctx.spec(ModelSpec)
    train, _ = split_rows(ctx.input("table"), spec)
    params = spec.param_defaults("train")
    params |= {name: value for name, value in ctx.params.items() if name in params}
    with importable(ctx.folder):
        function = load_entry(ctx.folder, spec.train.entry)

        def fit(fold: Fold) -> answers.Answers:
            x, y = train.x.iloc[fold.learn].reset_index(drop=True), train.y.iloc[fold.learn].reset_index(drop=True)
            with explained(ctx.folder, f"{spec.train.entry.partition(':')[2]}()"):
                model = function(x, y, dict(params))
            check_model(model, spec)
            with explained(ctx.folder, "predict() on rows that it has not seen"):
                return answers.of_estimator(model, train.x.iloc[fold.judge].reset_index(drop=True), spec.task)

        return trial.run(ctx, spec, train, fit)
