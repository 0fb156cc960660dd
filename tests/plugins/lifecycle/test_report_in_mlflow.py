"""The task report, as MLflow shows what it has done: a real MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.kinds.load import load
from include.registry.mlflow import Mlflow
from include.runtime.settings import REPO
from lifecycle.operators.report import Report
from lifecycle.run import Run
from tests.include.registry.conftest import client, server
from tests.include.report import runs

__all__ = ["client", "server"]
pytestmark = pytest.mark.integration


def test_the_run_its_version_and_the_model_say_what_became_of_them(client: Mlflow) -> None:
    path = REPO / "include" / "models" / "digits" / "model.yaml"
    run = Run("digits_lifecycle/manual__1", path, load(path), {})
    run.__dict__["mlflow"] = client  # what the connection of a platform would name
    made = run.mlflow_run()
    source = client.run(made)["info"]["artifact_uri"] + "/model"
    version = client.ensure_version("digits", run_id=made, source=source, run_key=run.key, tags={})
    task = Report(task_id="report", spec_path=str(path))
    task.report_url = "http://airflow/lifecycle/report/1"
    for _ in range(2):  # the task may be tried again
        task._show_in_mlflow(run, made, replace(runs.rolled_back(), version=version))
    tags = client.tags(made)
    assert client.run(made)["info"]["run_name"] == f"digits v{version} · ROLLED BACK"
    assert tags["updraft.outcome"] == "ROLLED BACK" and "http://airflow/lifecycle/report/1" in tags["mlflow.note.content"]
    assert "Production is changed in Airflow, not here" in client.version("digits", version)["description"]
    assert run.mlflow_run() == made
