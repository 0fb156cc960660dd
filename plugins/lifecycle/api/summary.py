"""What the lifecycle's page shows: every model's production at a glance, and a running canary with its curves."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from fastapi import APIRouter, Depends, HTTPException, Query, status
from fastapi.responses import JSONResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn, of_their_teams
from gpu_pool.db.models import Request as GpuRequest
from include.canary.progress import Progress
from include.errors import UpdraftError
from include.evidence.recompute import UNREADABLE
from include.kinds.frozen import thaw
from include.kinds.load import find, load
from include.kinds.registry import kind_of
from include.kinds.run_params import apply
from include.pool.state import RequestState
from include.report.canary_figures import thinned
from include.runtime.settings import Settings
from include.spec.schema import Spec
from include.verdict import Decision, Verdict
from lifecycle.api.datamodels import SummaryRow, TrialRow
from lifecycle.api.fields import Model, RunKey
from lifecycle.api.live import Aliases, split
from lifecycle.db import acts, began, holds
from lifecycle.db import models as db
from lifecycle.db.evidence import latest

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_their_teams)])
SUFFIXES = ("_lifecycle", "_rollback")
LOOKS = "_monitoring"
LATEST = 5
"""Runs shown a model, and behind them the latest look at its production."""
ACTS = 200
"""Of all models, out of which the latest are shown."""
KEPT_TRIALS = 16
UNDER_WAY = ("running", "queued", "scheduled", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "awaiting_input")
REPORT = re.compile(r"/lifecycle/report/([0-9a-f]+)")
Json = dict[str, Any]
aliases = Aliases()
_trials: OrderedDict[str, tuple[datetime, Progress]] = OrderedDict()
_trials_lock = threading.Lock()


@router.get("/summary", tags=["overview"], response_model=SummaryRow, responses=responses())
def get_summary(session: SessionDep, own: TheirOwn, model: Annotated[Model | None, Query()] = None) -> Any:
    """Per model: its spec's words, aliases, live split, revisions, and the latest runs with their verdicts (without evidence)."""
    specs = _specs()
    known = set(specs) | set(session.scalars(select(db.Revision.model).distinct()))
    names = sorted(name for name in known if model in (None, name) and own.model(name))
    found, problem = aliases.of(names)
    runs, revisions = _runs(session, names), _revisions(session, names)
    done, held = _acts(session, names), holds.current(session, names)
    rows = [
        {
            "model": name,
            "task": specs[name].task.value if name in specs else "",
            "description": specs[name].description if name in specs else "",
            "aliases": found[name],
            "split": split(name),
            "revisions": revisions.get(name, []),
            "runs": runs.get(name, []),
            "acts": done.get(name, []),
            "hold": {"who": hold.who, "why": hold.why, "at": hold.at.isoformat()} if (hold := held.get(name)) else None,
        }
        for name in names
    ]
    return JSONResponse({"models": rows, "registry_problem": problem})


@router.get("/trial", tags=["overview"], response_model=TrialRow, responses=responses(404, 409))
def get_trial(session: SessionDep, run_key: Annotated[RunKey, Query()]) -> Any:
    """A canary as its looks show it now: the plan, one point a look, the judge's rules, and what it is waiting for. 409 for looks that the
    judge can't take."""
    progress = _progress(session, run_key)
    if progress is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No look of a canary is kept for run {run_key!r}.")
    current = progress.current
    kept = latest(session, run_key, "canary")
    verdict = Verdict.from_json(kept.body) if kept else progress.verdict()
    found = {
        "run_key": run_key,
        "plan": current.plan.to_json(),
        "mirrored": progress.in_mirror,
        "series": [dict(point) for point in thinned(current.series)],
        "decision": verdict.decision.value,
        "reasons": list(verdict.reasons),
        "rules": [vars(rule) for rule in verdict.rules],
        "waiting": waiting(progress, verdict),
    }
    return JSONResponse(found)


def waiting(progress: Progress, verdict: Verdict) -> list[str]:
    """Why the trial goes on: what of its time is left, and which rules do not hold yet. Empty once it is decided."""
    if verdict.decision is not Decision.CONTINUE:
        return []
    current = progress.current
    kind = "mirrored traffic" if progress.in_mirror else "the trial"
    passed = f"{current.at_s:.0f} of {current.plan.duration_s:.0f} s of {kind} have passed"
    left = f"{passed}; a rollback may come at any look, a promotion at the end."
    return [left, *(f"{rule.name}: {rule.detail}" for rule in verdict.rules if rule.passed is None)]


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


def _specs() -> dict[str, Spec]:
    found = {}
    try:
        paths = find(Settings.load().models)
    except UpdraftError:
        return {}
    for path in paths:
        try:
            found[path.parent.name] = load(path)
        except UpdraftError:
            continue  # Airflow's import errors show it
    return found


def _revisions(session: Session, names: list[str]) -> dict[str, list[Json]]:
    rows: dict[str, list[Json]] = {}
    for row in session.scalars(select(db.Revision).where(db.Revision.model.in_(names)).order_by(db.Revision.version.desc())):
        columns = ("version", "state", "target", "backend", "message")
        rows.setdefault(row.model, []).append({name: getattr(row, name) for name in columns} | {"updated_at": row.updated_at.isoformat()})
    return rows


def _acts(session: Session, names: list[str]) -> dict[str, list[Json]]:
    """What alerts and verdicts have lately asked for, newest first."""
    columns, found = ("act", "state", "name", "summary", "reason", "run_key"), dict[str, list[Json]]()
    for row in acts.latest(session, names, ACTS):
        if len(rows := found.setdefault(row.model, [])) < LATEST:
            rows.append({name: getattr(row, name) for name in columns} | {"at": row.at.isoformat()})
    return found


def _runs(session: Session, names: list[str]) -> dict[str, list[Json]]:
    """The latest runs of each model's DAGs, newest first."""
    of = {f"{name}{suffix}": name for name in names for suffix in (*SUFFIXES, LOOKS)}
    rank = func.row_number().over(partition_by=DagRun.dag_id, order_by=DagRun.id.desc()).label("rank")
    latest = select(DagRun.id, rank).where(DagRun.dag_id.in_(of)).subquery()
    query = select(DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, DagRun.queued_at)
    query = query.join(latest, latest.c.id == DagRun.id).where(latest.c.rank <= LATEST).order_by(DagRun.id.desc())
    rows = [row._asdict() for row in session.execute(query)]
    verdicts, reports, tasks = _verdicts(session, rows), _reports(session, rows), _tasks(session, rows)
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


def _verdicts(session: Session, runs: list[Json]) -> dict[str, list[Json]]:
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


def _reports(session: Session, runs: list[Json]) -> dict[tuple[str, str], str]:
    """The MLflow run that holds the report, out of what the task ``report`` has returned."""
    ids = {run["run_id"] for run in runs}
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value)
    query = query.where(XComModel.key == "return_value", XComModel.run_id.in_(ids), XComModel.task_id == "report")
    pages = {(dag_id, run_id): REPORT.search(str(value)) for dag_id, run_id, value in session.execute(query)}
    return {at: page[1] for at, page in pages.items() if page}


def _tasks(session: Session, runs: list[Json]) -> dict[tuple[str, str], list[Json]]:
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
        gpu = gpus.get(keys.get((row.dag_id, row.run_id, row.task_id), ""), "")
        part = {"task_id": row.task_id, "state": str(row.state), "why": why(row.task_id, str(row.state), row.pool, gpu)}
        part |= {"try_number": row.try_number, "since": row.start_date.isoformat() if row.start_date else None}
        found.setdefault((row.dag_id, row.run_id), []).append(part)
    return found


def _gpus(session: Session, keys: list[str]) -> dict[str, str]:
    """What the GPU pool says of the requests that wait, by their keys (:func:`gpu_pool.operators.holding.key`)."""
    table = GpuRequest
    query = select(table.key, table.reasons, table.starts_at).where(table.key.in_(keys), table.state == RequestState.WAITING.value)
    return {row.key: waits_for_gpu(row.reasons, row.starts_at) for row in session.execute(query)}


def waits_for_gpu(reasons: Sequence[str], starts_at: float | None) -> str:
    """Say why a request waits for a GPU, and when it is expected to start (seconds since the epoch). Pure."""
    start = f" Expected start: {datetime.fromtimestamp(starts_at, UTC):%Y-%m-%d %H:%M} UTC." if starts_at is not None else ""
    return f"waits for a GPU: {' '.join(reasons) or 'the pool looks for a place.'}{start}"


def _progress(session: Session, run_key: str) -> Progress | None:
    """The trial judged up to its latest look; only the looks that are new since the last call are judged now."""
    first = session.scalar(select(db.Look).where(db.Look.run_key == run_key, db.Look.number == 0))
    if first is None:
        return None
    with _trials_lock:
        began, progress = _trials.get(run_key, (None, None))
        if progress is None or began != first.at:
            spec = _spec_of(session, run_key)
            progress = Progress.start(kind_of(spec).trial_plan(spec.canary), spec.canary.mirror_s)
        query = select(db.Look.body).where(db.Look.run_key == run_key, db.Look.number >= progress.seen).order_by(db.Look.number)
        try:
            progress = progress.take(session.scalars(query))
        except UNREADABLE as error:
            raise Refusal(409, f"The looks that are kept of this trial can't be judged: {error}") from None
        _trials[run_key] = (first.at, progress)
        _trials.move_to_end(run_key)
        while len(_trials) > KEPT_TRIALS:
            _trials.popitem(last=False)
    return progress


def _spec_of(session: Session, run_key: str) -> Spec:
    """The spec that the run is bound to; of a run from before these were kept, the model's present one with the run's params."""
    kept = session.get(db.RunSpec, run_key)
    dag_id, _, run_id = run_key.partition("/")
    try:
        if kept is not None:
            return thaw(kept.spec)
        conf: Mapping[str, Any] | None = session.scalar(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        return apply(load(Settings.load().models / dag_id.removesuffix("_lifecycle") / "model.yaml"), conf or {})
    except UpdraftError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"The spec of this run's model cannot be read: {error}") from None
