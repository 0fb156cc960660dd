"""``python -m include.steps.alone FOLDER``: a step's body with an MLflow run of the folder's own. :mod:`include.steps.rerun` starts it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from include.steps.__main__ import main
from include.steps.context import StepRequest
from include.steps.tracking import RUN_INPUT


def alone(folder: Path) -> int:
    """Give the step a new MLflow run in the store that the environment names, if it logs to one, then do it. The exit status."""
    request = StepRequest.read(folder)
    if RUN_INPUT in request.inputs:
        replace(request, inputs={**request.inputs, RUN_INPUT: _new_run(folder)}).save(folder)
    return main(folder)


def _new_run(folder: Path) -> str:
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.create_experiment("rerun", artifact_location=str(folder / "artifacts"))
    return str(client.create_run(experiment).info.run_id)


if __name__ == "__main__":
    sys.exit(alone(Path(sys.argv[1])))
