"""The plugin's real application over HTTP on a fresh SQLite database, behind Airflow's real authentication, with a model on trial.

Run as ``python -m tests.plugins.lifecycle.ui.served HOME PORT MLFLOW_URL REPORT``: it sets Airflow up in HOME, writes a viewer's token
there, and serves until its standard input is closed. REPORT is the MLflow run with the report of the run that has ended. The root page
puts the lifecycle's page into the same sandboxed frame as Airflow's navigation does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOW = datetime.now(UTC)
EVIL = "<img src=x onerror=document.title='hacked'>"
FRAME = """<!DOCTYPE html><html class="{theme}"><body style="margin:0"><iframe src="lifecycle/ui" title="page"
sandbox="allow-scripts allow-same-origin allow-forms allow-downloads" style="width:100%;height:98vh;border:0"></iframe></body></html>"""
PROMOTED_RUN, TRIAL_RUN = "manual__2026-11-21T02:29:54+00:00", "manual__2026-11-21T02:40:17+00:00"


def prepare(home: Path, port_base: int, mlflow_url: str) -> None:
    """Airflow's environment, before it is imported for the first time."""
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "guest:viewer,olaf:op,anna:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough to sign with it",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_UPDRAFT_MLFLOW": json.dumps({"conn_type": "http", "host": mlflow_url}),
        "UPDRAFT_HOME": str(home / "updraft"),
        "UPDRAFT_MODELS": str(_models(home)),
        "UPDRAFT_PORT_BASE": str(port_base),
    }


def _models(home: Path) -> Path:
    """The shipped models; one of them may have several servers."""
    folder = home / "models"
    shutil.copytree(Path(__file__).parents[4] / "include" / "models", folder, ignore=shutil.ignore_patterns("__pycache__"))
    spec = folder / "digits" / "model.yaml"
    spec.write_text(spec.read_text().replace("\nserve:\n", "\nserve:\n  replicas: {min: 1, max: 3}\n"))
    return folder


def fill(home: Path, report: str) -> None:
    """Tables and rows: one model with a promoted version and another on trial."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base as AirflowBase
    from airflow.utils.session import create_session
    from sqlalchemy import text

    from gpu_pool.db import models as pool
    from lifecycle.db import models as db

    import_all_models()
    AirflowBase.metadata.create_all(settings.engine)
    for base in (db.Base, pool.Base):
        base.metadata.create_all(settings.engine)
    with create_session() as session:
        session.add_all([_revision(1, "STOPPED"), _revision(2, "RUNNING"), _revision(3, "RUNNING", EVIL)])
        session.add_all([*_servers(), db.Scale(model="digits", replicas=2, who="olaf", why="The sale begins.", at=NOW)])
        keep(session)
        keep_looks(session, 8)
        session.add_all(_leased())
        for statement, row in _airflow_rows(report):
            session.execute(text(statement), row)
    _split(home / "updraft")
    _asked(home / "updraft")


def _revision(version: int, state: str, message: str = "") -> Any:
    from lifecycle.db.models import Revision

    return Revision(
        model="digits", version=version, state=state, target="process", backend="triton", endpoint="", message=message, updated_at=NOW
    )


def _servers() -> list[Any]:
    """Two servers of the champion, one of which waits."""
    from lifecycle.db.models import Replica

    here, why = {"model": "digits", "version": 2, "updated_at": NOW}, "It waits for a GPU: all are held."
    return [
        Replica(number=1, state="RUNNING", up=True, endpoint="http://127.0.0.1:9001", **here),
        Replica(number=2, state="PREEMPTED", up=False, waits=True, message=why, **here),
    ]


def _leased() -> list[Any]:
    """What this month's leases took: a run's that has ended, a simulated one, a server that runs on at spot rates, one without a price."""
    from gpu_pool.db.models import Use

    begin = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    lasted = min(3600.0, NOW.timestamp() - begin) / 2
    plain = {"part": 0, "holder": "updraft", "team": "vision", "gpu": "H100-80GB", "gpus": 1.0, "spot": False, "simulated": False}
    plain |= {"began_at": begin, "ended_at": begin + lasted}
    return [
        Use(lease_id="a", key=f"digits_lifecycle/{PROMOTED_RUN}/train/-1", **plain),
        Use(lease_id="b", key=f"digits_lifecycle/{PROMOTED_RUN}/train/-1", **plain | {"gpus": 0.5}),
        Use(lease_id="c", key="notebook", **plain | {"team": EVIL, "simulated": True}),
        Use(lease_id="d", key="revision/digits/2", **plain | {"spot": True, "ended_at": None}),
        Use(lease_id="e", key="other/run/task/-1", **plain | {"gpu": "GB10", "team": "text"}),
    ]


def keep(session: Any) -> None:
    """The verdicts of the run that has ended, and of the one under way."""
    from lifecycle.db.evidence import keep_verdict
    from tests.include.report import runs

    kept = {PROMOTED_RUN: runs.promoted().verdicts, TRIAL_RUN: {"data": runs.data(), "gate": runs.promoted().verdicts["gate"]}}
    for run, verdicts in kept.items():
        for kind, found in verdicts.items():
            version = 2 if kind in ("deploy", "canary") else None
            content = {"run_key": f"digits_lifecycle/{run}", "kind": kind, "model": "digits", "version": version}
            keep_verdict(session, "updraft", content | {"decision": found.decision.value, "body": found.to_json()})


def keep_looks(session: Any, count: int) -> None:
    """The first ``count`` looks of a real trial, those that are kept already among them."""
    from lifecycle.db.evidence import keep_look
    from tests.include.report import runs

    rows, _ = runs.trial(seed=3)
    for row in rows[:count]:
        keep_look(session, "updraft", {"run_key": f"digits_lifecycle/{TRIAL_RUN}", "number": row["number"], "body": row["body"]})


def _airflow_rows(report: str) -> list[tuple[str, dict[str, Any]]]:
    """Two runs, the task that the one under way is at, and the other's report, by plain INSERTs: no scheduler is here to make them."""
    run = "INSERT INTO dag_run (id, dag_id, run_id, state, run_type, run_after, start_date, conf, clear_number, updated_at, queued_at) "
    run += "VALUES (:id, 'digits_lifecycle', :run_id, :state, 'manual', :at, :at, '{}', 0, :at, :at)"
    task = "INSERT INTO task_instance (id, task_id, dag_id, run_id, map_index, try_number, state, pool, pool_slots, start_date, end_date) "
    task += "VALUES (:id, :task, 'digits_lifecycle', :run_id, -1, 1, :state, 'default_pool', 1, :at, :end)"
    value = "INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp) VALUES "
    value += "(1, 'report', -1, 'return_value', 'digits_lifecycle', :run_id, :value, :at)"
    at = NOW.replace(tzinfo=None)
    returned = json.dumps({"outcome": "PROMOTED", "report": f"http://127.0.0.1:8080/lifecycle/report/{report}"})
    return [
        (run, {"id": 1, "run_id": PROMOTED_RUN, "state": "success", "at": at}),
        (run, {"id": 2, "run_id": TRIAL_RUN, "state": "running", "at": at}),
        (task, {"id": "0" * 32, "task": "promote", "run_id": PROMOTED_RUN, "state": "success", "at": at, "end": at}),
        (task, {"id": "1" * 32, "task": "report", "run_id": PROMOTED_RUN, "state": "success", "at": at, "end": at}),
        (task, {"id": "2" * 32, "task": "canary", "run_id": TRIAL_RUN, "state": "deferred", "at": at, "end": None}),
        (value, {"run_id": PROMOTED_RUN, "value": returned, "at": at}),
    ]


def _split(home: Path) -> None:
    """A gateway's files with a tenth of the traffic on version 3; no Envoy is needed to write or read them."""
    from include.gateway.endpoint import Endpoint
    from include.gateway.gateway import Gateway
    from include.runtime.settings import Settings

    home.mkdir()
    (home / "credentials.json").write_text(json.dumps({"api_keys": {"updraft": "k"}, "probe_secret": "s"}))
    gateway = Gateway(Settings.load())
    for version in ("2", "3"):
        gateway.add_revision(Endpoint("digits", version, 20000 + int(version)))
    gateway.set_split("digits", {"2": 90, "3": 10})


def _asked(home: Path) -> None:
    """What a gateway has logged: two keys' questions to a language model, yesterday and today; one key has a limit."""
    line = {"kind": "live", "revision": "1", "served_by": "1", "path": "/v1/chat/completions", "status": 200, "flags": "-", "attempts": 1}
    line |= {"prompt_tokens": 120, "completion_tokens": 30, "finish_reason": "stop"}
    asked = [("demo", "tinychat", 1, 3_600_000_000), ("demo", "tinychat", 0, 1_000_000), (EVIL, "tinychat", 0, 1_000_000)]
    (home / "logs").mkdir(parents=True)
    with (home / "logs" / "gateway_access.log").open("w") as log:
        for client, model, days, took in asked:
            when = (NOW - timedelta(days=days)).timestamp()
            log.write(json.dumps(line | {"time": str(when), "client": client, "model": model, "upstream_us": took}) + "\n")
    (home / "limits.json").write_text(json.dumps({"demo": {"requests": 60, "tokens": 20000}}))


def main(home: Path, port: int, mlflow_url: str, report: str) -> None:
    prepare(home, port, mlflow_url)
    import uvicorn
    from airflow.api_fastapi.app import init_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    fill(home, report)
    from lifecycle.api.app import create_app
    from lifecycle.api.serving.app import create_app as create_serving

    app = FastAPI()
    manager = init_auth_manager(app)
    app.mount("/lifecycle", create_app())
    app.mount("/serving", create_serving())

    @app.get("/")
    def frame(theme: str = "light") -> HTMLResponse:
        return HTMLResponse(FRAME.format(theme="dark" if theme == "dark" else "light"))

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    (home / "token").write_text(manager.generate_jwt(SimpleAuthManagerUser(username="guest", role="viewer")))
    (home / "operator").write_text(manager.generate_jwt(SimpleAuthManagerUser(username="olaf", role="op")))
    (home / "admin").write_text(manager.generate_jwt(SimpleAuthManagerUser(username="anna", role="admin")))
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
