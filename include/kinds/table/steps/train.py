"""Step `train`: call the user's function on the training rows, check what it returns, store it. Runs in the `trainer` runtime.

Inputs: ``table`` (path), ``mlflow_run_id``. Writes ``model.skops``; logs parameters, training figures and the model to the MLflow run.
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.metrics import score_metric
from include.kinds.rows import answers
from include.kinds.rows.training import training_metrics
from include.kinds.table import stored_model
from include.kinds.table.boosters.stored import packages
from include.kinds.table.table import split_rows
from include.spec.schema import ModelSpec, Task
from include.steps.context import StepContext
from include.steps.tracking import Tracking, requirements, tracked
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE_ROWS = 3


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``model`` and ``model_uri``, ``metrics`` (training rows), ``seconds`` (of the function), ``rows``, ``held_out``.

    Of several workers each calls the function; what rank 0's returns is the model."""
    spec = ctx.spec(ModelSpec)
    score_metric(spec)
    train, test = split_rows(ctx.input("table"), spec)
    params = spec.param_defaults("train")
    params |= {name: value for name, value in ctx.params.items() if name in params}
    print(f"Training {spec.name} on {len(train)} rows of {train.x.shape[1]} features; {len(test)} rows are held out.", flush=True)
    with importable(ctx.folder), tracked(ctx) as tracking:
        if ctx.rank == 0:
            tracking.params(params | {"rows": len(train), "held_out_rows": len(test), "features": train.x.shape[1]})
        function = load_entry(ctx.folder, spec.train.entry)
        started = time.monotonic()
        with explained(ctx.folder, f"{spec.train.entry.partition(':')[2]}()"):
            model = function(train.x.copy(), train.y.copy(), dict(params))
        seconds = time.monotonic() - started
        print(f"Trained in {seconds:.2f} s.", flush=True)
        if ctx.rank:
            return {}
        check_model(model, spec)
        with explained(ctx.folder, "predict() on the training rows"):
            said = answers.of_estimator(model, train.x, spec.task)
        metrics = training_metrics(spec, said, train.y, f"train.entry {spec.train.entry}")
        trusted = stored_model.save(model, ctx.out / stored_model.FILE, spec.train.trusted_types)
        tracking.metrics(metrics, prefix="train/")
        tracking.metrics({"train/seconds": seconds})
        uri = _log_model(tracking, model, train.x.head(EXAMPLE_ROWS), trusted)
    path = ctx.out / stored_model.FILE
    return {"model": str(path), "model_uri": uri, "metrics": metrics, "seconds": seconds, "rows": len(train), "held_out": len(test)}


def check_model(model: Any, spec: ModelSpec) -> None:
    """InputError unless ``model`` is a fitted estimator for the spec's task."""
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.utils.validation import check_is_fitted

    def refuse(what: str, remedy: str) -> InputError:
        return InputError(what, where=f"train.entry {spec.train.entry}", remedy=remedy)

    if model is None:
        raise refuse("the function returned nothing.", "Return the fitted estimator.")
    # CatBoost's estimators are scikit-learn's by their tags, and not by their class.
    estimator = isinstance(model, BaseEstimator) or hasattr(model, "__sklearn_tags__")
    if inspect.isclass(model) or not estimator or not hasattr(model, "predict"):
        kind = f"the class {model.__name__}" if inspect.isclass(model) else f"a {type(model).__name__}"
        raise refuse(
            f"the function returned {kind}, which is no model.", "Return a fitted estimator of scikit-learn, XGBoost, LightGBM or CatBoost."
        )
    fits = is_classifier if spec.task is Task.CLASSIFICATION else is_regressor
    if not fits(model):
        raise refuse(f"{type(model).__name__} does no {spec.task}.", "Return another estimator, or correct `task` in model.yaml.")
    try:
        check_is_fitted(model)
    except Exception as error:
        raise refuse(f"{type(model).__name__} is not fitted.", "Call its fit() before returning it.") from error


def _log_model(tracking: Tracking, model: Any, example: pd.DataFrame, trusted: list[str]) -> str:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    tracking.forget_model("model")
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format="skops",
        skops_trusted_types=trusted,
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        pip_requirements=requirements("mlflow", "scikit-learn", "pandas", "skops", *packages(trusted)),
    )
    return str(info.model_uri)
