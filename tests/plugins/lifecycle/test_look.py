"""The task look: a real MLflow, a real prediction log; what it keeps, and what it does when a server is away."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from include import predictions
from include.monitoring import look
from include.predictions.journal import keep
from include.predictions.store import store
from include.registry.mlflow import CHAMPION, Mlflow
from include.runtime.settings import REPO, Settings
from include.verdict import Decision
from lifecycle.operators.monitoring import Look
from tests.include.monitoring.frames import HOUR, NO_LABELS, NOON, drawn
from tests.include.registry.conftest import client, server

__all__ = ["client", "server"]
pytestmark = pytest.mark.integration
DIGITS = REPO / "include" / "models" / "digits" / "model.yaml"


class Run:
    """A run of a look at `digits`; verdicts are kept in a list, and given back as the API would."""

    model, folder = "digits", REPO / "nowhere"

    def __init__(self, settings: Settings, mlflow: Mlflow, number: int, kept: list[dict[str, Any]]) -> None:
        from include.kinds.load import load

        self.key, self.settings, self.mlflow, self.kept, self.spec = f"digits_monitoring/{number}", settings, mlflow, kept, load(DIGITS)
        self.api = SimpleNamespace(url="http://airflow", get=lambda *_, **__: list(reversed(kept)), call=lambda *_, **__: None)

    def keep(self, kind: str, verdict: Any, version: int | None) -> None:
        self.kept.append({"run_key": self.key, "kind": kind, "version": version, "body": verdict.to_json()})


def at(hours: float) -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(run_after=NOON + hours * HOUR + look.SETTLED)}


def log(settings: Settings, version: int, rows: int, seed: int) -> None:
    frame = drawn(np.random.default_rng(seed), rows)
    keep(
        settings.prediction_log,
        store(settings.predictions),
        [
            {"id": f"{seed}-{number}", "time": (NOON + timedelta(milliseconds=number)).timestamp(), "model": "digits", "version": version}
            | {
                "key": "app",
                "kind": "live",
                "latency_ms": 2.0,
                "status": 200,
                "inputs": {"age": row["inputs.age"], "city": row["inputs.city"]},
            }
            | {"outputs": {"label": int(row["outputs.prediction"]), "probabilities": [row["outputs.confidence"], 0.0]}}
            for number, row in enumerate(frame.to_dict("records"))
        ],
    )


def test_looks_at_a_champion(client: Mlflow, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(predictions, "labels", lambda *_: NO_LABELS)
    settings, kept = replace(Settings.load(), home=tmp_path), []
    task = Look(task_id="look", spec_path=str(DIGITS))
    assert task.run(Run(settings, client, 0, kept), at(0.5))["reasons"] == ["Harm is not known: nothing is in production."]

    made = client.ensure_run("updraft/digits", "digits_lifecycle/r", "r")
    source = client.run(made)["info"]["artifact_uri"] + "/model"
    version = client.ensure_version("digits", run_id=made, source=source, run_key="digits_lifecycle/r", tags={})
    client.set_alias("digits", CHAMPION, version)
    log(settings, version, 300, 1)
    assert "has no reference" in task.run(Run(settings, client, 1, kept), at(1))["reasons"][0]

    content = io.BytesIO()
    drawn(np.random.default_rng(0), 2_000).to_parquet(content)
    client.write(made, look.REFERENCE, content.getvalue())
    kept.clear()
    found = task.run(Run(settings, client, 2, kept), at(1))
    assert (found["decision"], found["version"]) == ("PASS", version), found
    assert b"<html" in client.read(made, look.CHANGE_PAGE)[:2_000].lower()
    assert task.change_url == f"http://airflow/lifecycle/report/{made}/change.html"
    assert kept[-1]["body"]["evidence"]["rows"] == 300
    task.run(Run(settings, client, 2, kept), at(1))  # killed, and tried again
    assert kept[-1] == kept[-2]

    away = Run(settings, Mlflow("http://127.0.0.1:9"), 3, kept)
    found = task.run(away, at(2))
    assert found["decision"] == Decision.NOT_KNOWN.value and "MLflow" in found["reasons"][0]

    task.run(Run(settings, client, 4, kept), at(3))
    assert kept[-1]["body"]["evidence"]["since"] == kept[-3]["body"]["evidence"]["until"], "it goes on behind the last look that was taken"
