"""The MLflow run of a lifecycle, as a step writes to it. Its address and credentials come from MLflow's own environment variables."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import ComponentError
from include.runtime import web
from include.steps.context import StepContext

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_INPUT = "mlflow_run_id"
HEALTH_TIMEOUT_S = 5.0
METRICS_A_CALL = 1000
"""MLflow takes no more at once."""


@dataclass(frozen=True)
class Point:
    """Values by name at a step of the training; ``at`` is the time (seconds since the epoch)."""

    step: int
    at: float
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Tracking:
    """A live MLflow run; it is also MLflow's active run, so that a user's ``mlflow.log_metric`` reaches it."""

    client: MlflowClient
    run_id: str
    experiment_id: str

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; the same values again are no error."""
        from mlflow.entities import Param

        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in values.items()])

    def metrics(self, values: Mapping[str, float | None], prefix: str = "") -> None:
        """Log the finite ones of ``values`` at step 0."""
        self.points([Point(0, time.time(), {f"{prefix}{name}": value for name, value in values.items()})])

    def points(self, points: Sequence[Point]) -> None:
        """Log the finite values of ``points``, many in one call."""
        from mlflow.entities import Metric

        known = [
            Metric(name, value, int(point.at * 1000), point.step)
            for point in points
            for name, value in point.values.items()
            if value is not None and math.isfinite(value)
        ]
        for start in range(0, len(known), METRICS_A_CALL):
            self.client.log_batch(self.run_id, metrics=known[start : start + METRICS_A_CALL])

    def tag(self, name: str, value: str) -> None:
        """Set a tag, replacing its value."""
        self.client.set_tag(self.run_id, name, value)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file, or a folder's content, replacing what an earlier try of the step left under that name."""
        upload = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        upload(self.run_id, str(path), folder)

    def forget_model(self, name: str) -> None:
        """Delete the models that an earlier try of this step logged on this run under ``name``, so that a run has one of each."""
        # Only equality on attributes that MLflow 3 indexes; the name is compared here.
        found = self.client.search_logged_models([self.experiment_id], filter_string=f"source_run_id='{self.run_id}'")
        for model in found:
            if model.name == name:
                self.client.delete_logged_model(model.model_id)


@contextmanager
def tracked(ctx: StepContext) -> Iterator[Tracking]:
    """The run of the step's input ``mlflow_run_id``, active inside and left running. ComponentError when MLflow does not do its part."""
    run_id = ctx.request.inputs[RUN_INPUT]
    _reach(os.environ.get("MLFLOW_TRACKING_URI", ""))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow
    from mlflow.exceptions import MlflowException

    # It asks for pip's version, which this environment has no need of.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    try:
        run = mlflow.start_run(run_id=run_id)
        yield Tracking(mlflow.MlflowClient(), run_id, run.info.experiment_id)
    except (MlflowException, OSError) as error:
        if isinstance(error, OSError) and not type(error).__module__.startswith(("requests", "urllib3", "mlflow")):
            raise
        raise ComponentError(
            f"MLflow refused: {error}", where=mlflow.get_tracking_uri(), remedy="See its log with `make logs`, then clear the task."
        ) from error
    finally:
        # The lifecycle's last task ends the run, not each step.
        if mlflow.active_run():
            _leave(mlflow)


def _leave(mlflow: Any) -> None:
    try:
        mlflow.end_run("RUNNING")
    except Exception as error:
        print(f"MLflow did not take the end of the step: {error}", flush=True)


def _reach(uri: str) -> None:
    """Ask the server's health at once: MLflow's own client would retry for minutes before it says that nobody is there."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        # Whether it lets us in is for the real request to find out.
        web.ask("GET", f"{uri.rstrip('/')}/health", timeout=HEALTH_TIMEOUT_S)
    except OSError as error:
        raise ComponentError(
            f"MLflow does not answer ({error}).", where=uri, remedy="Start it with `make up`, then clear the task."
        ) from error


def requirements(*packages: str) -> list[str]:
    """The packages as installed here, pinned: what MLflow records for serving, without the subprocess that it would infer them with."""
    return [f"{name}=={metadata.version(name)}" for name in packages]
