"""The latest runs of models' DAGs for pages: what they found, what they are at, and what that waits for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gpu_pool.db.models import Request as GpuRequest
from include.pool.state import RequestState
from lifecycle.db import began
from lifecycle.db import models as db

Json = dict[str, Any]
SUFFIXES = ("_lifecycle", "_rollback")
LOOKS = "_monitoring"
LATEST = 5
"""Runs shown a model, and behind them the latest look at its production."""
UNDER_WAY = ("running", "queued", "scheduled", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "awaiting_input")
REPORT = re.compile(r"/lifecycle/report/([0-9a-f]+)")


def why(task_id: str, state: str, pool: str, gpu: str = "") -> str:
    """What a task of a run that is under way waits for, or does; ``gpu``: what the GPU pool says of its request, if it has one."""
    people = {"approve": "waits for a person's approval", "hold": "waits for a person: promote or roll back"}
    if state in ("deferred", "awaiting_input", "running") and task_id in people:
        return f"{people[task_id]} (Required Actions of the run)"
    words = {
        "running": "is running",
        "deferred": "is on trial, without holding a worker" if task_id == "canary" else gpu or "waits for a GPU (see the page GPUs)",
        "queued": "is queued for a worker",
        "scheduled": f"waits for a free slot of pool {pool}",
        "up_for_retry": "failed, and will be tried again",
    }
    return words.get(state, state.replace("_", " "))


def latest_runs(session: Session, names: list[str]) -> dict[str, list[Json]]:
    """The latest runs of each model's DAGs, newest first."""
    of = {f"{name}{suffix}": name for name in names for suffix in (*SUFFIXES, LOOKS)}
    rank = func.row_number().over(partition_by=DagRun.dag_id, order_by=DagRun.id.desc()).label("rank")
    latest = select(DagRun.id, rank).where(DagRun.dag_id.in_(of)).subquery()
    query = select(DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, DagRun.queued_at)
    query = query.join(latest, latest.c.id == DagRun.id).where(latest.c.rank <= LATEST).order_by(DagRun.id.desc())
    rows = [row._asdict() for row in session.execute(query)]
    verdicts, reports, tasks = verdicts_of(session, rows), reports_of(session, rows), tasks_of(session, rows)
    why_begun = began.why(session, (row["id"] for row in rows))
    found: dict[str, list[Json]] = {}
    looks: dict[str, Json] = {}
    for row in rows:
        at, key = (row["dag_id"], row["run_id"]), f"{row['dag_id']}/{row['run_id']}"
        part = {"dag_id": row["dag_id"], "run_id": row["run_id"], "run_key": key, "state": str(row["state"]), "began": why_begun[row["id"]]}
        part |= {name: value.isoformat() if (value := row[name]) else None for name in ("start_date", "end_date", "queued_at")}
        part |= {"verdicts": verdicts.get(key, []), "report": reports.get(at), "tasks": tasks.get(at, [])}
        model = of[row["dag_id"]]
        runs = found.setdefault(model, [])
        if row["dag_id"].endswith(LOOKS):
            looks.setdefault(model, part)
        elif len(runs) < LATEST:
            runs.append(part)
    return {model: [*runs, looks[model]] if model in looks else runs for model, runs in found.items()}


def verdicts_of(session: Session, runs: list[Json]) -> dict[str, list[Json]]:
    """The verdicts of these runs by run key, the latest of each kind, in the order in which they were kept."""
    keys = [f"{run['dag_id']}/{run['run_id']}" for run in runs]
    table = db.Verdict
    newest = select(func.max(table.entry)).where(table.run_key.in_(keys)).group_by(table.run_key, table.kind)
    # The evidence stays in the database: it is large, and the report shows it.
    query = select(table.run_key, table.kind, table.version, table.decision, table.at, table.body["reasons"].label("reasons"))
    found: dict[str, list[Json]] = {}
    for row in session.execute(query.where(table.entry.in_(newest)).order_by(table.entry)):
        part = row._asdict()
        found.setdefault(part.pop("run_key"), []).append(part | {"at": part["at"].isoformat()})
    return found


def reports_of(session: Session, runs: list[Json]) -> dict[tuple[str, str], str]:
    """The MLflow run that holds the report, out of what the task ``report`` has returned."""
    ids = {run["run_id"] for run in runs}
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value)
    query = query.where(XComModel.key == "return_value", XComModel.run_id.in_(ids), XComModel.task_id == "report")
    pages = {(dag_id, run_id): REPORT.search(str(value)) for dag_id, run_id, value in session.execute(query)}
    return {at: page[1] for at, page in pages.items() if page}


def tasks_of(session: Session, runs: list[Json]) -> dict[tuple[str, str], list[Json]]:
    """What a run that has not ended is at."""
    ids = {run["run_id"] for run in runs if run["state"] in ("running", "queued")}
    table = TaskInstance
    query = select(table.dag_id, table.run_id, table.task_id, table.state, table.pool, table.try_number, table.start_date)
    found: dict[tuple[str, str], list[Json]] = {}
    rows = list(session.execute(query.where(table.run_id.in_(ids), table.state.in_(UNDER_WAY))))
    asking = [row for row in rows if row.state == "deferred" and row.task_id != "canary"]
    keys = {(row.dag_id, row.run_id, row.task_id): f"{row.dag_id}/{row.run_id}/{row.task_id}/-1" for row in asking}
    gpus = _gpus(session, list(keys.values())) if keys else {}
    for row in rows:
        gpu = gpus.get(keys.get((row.dag_id, row.run_id, row.task_id), ""))
        said = waits_for_gpu(*gpu) if gpu else ""
        part = {"task_id": row.task_id, "state": str(row.state), "why": why(row.task_id, str(row.state), row.pool, said)}
        part |= {"gpu": {"starts_at": gpu[1]} if gpu else None}
        part |= {"try_number": row.try_number, "since": row.start_date.isoformat() if row.start_date else None}
        found.setdefault((row.dag_id, row.run_id), []).append(part)
    return found


def _gpus(session: Session, keys: list[str]) -> dict[str, tuple[Sequence[str], float | None]]:
    """Why requests wait for the GPU pool and when they are expected to start, by their keys (:func:`gpu_pool.operators.holding.key`)."""
    table = GpuRequest
    query = select(table.key, table.reasons, table.starts_at).where(table.key.in_(keys), table.state == RequestState.WAITING.value)
    return {row.key: (row.reasons, row.starts_at) for row in session.execute(query)}


def waits_for_gpu(reasons: Sequence[str], starts_at: float | None) -> str:
    """Say why a request waits for a GPU, and when it is expected to start (seconds since the epoch). Pure."""
    start = f" Expected start: {datetime.fromtimestamp(starts_at, UTC):%Y-%m-%d %H:%M} UTC." if starts_at is not None else ""
    return f"waits for a GPU: {' '.join(reasons) or 'the pool looks for a place.'}{start}"
