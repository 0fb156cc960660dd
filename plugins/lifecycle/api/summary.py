"""What a model's page shows: its production at a glance, and a running canary with its curves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from fastapi import APIRouter, Depends, HTTPException, Query, status
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from api_shared.auth import may_read, may_write
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn, model_of_run, of_their_teams
from include.canary.orders import Order, hindrance
from include.canary.progress import Progress
from include.errors import UpdraftError
from include.evidence.recompute import UNREADABLE
from include.kinds.frozen import thaw
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.run_params import apply
from include.pool.teams import Role
from include.report.canary_figures import thinned
from include.runtime.settings import Settings
from include.spec.schema import Spec
from include.verdict import Decision, Verdict
from lifecycle.api.catalogue import catalogue
from lifecycle.api.fields import AskedRunKey, Model, RunKey
from lifecycle.api.live import aliases, splits
from lifecycle.api.page_models import OrderBody, OrderRow, SummaryRow, TrialRow
from lifecycle.api.runs import LATEST, UNDER_WAY, latest_runs
from lifecycle.db import acts, evidence, holds, orders
from lifecycle.db import models as db

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_their_teams)])
ACTS = 200
"""Of all models, out of which the latest are shown."""
KEPT_TRIALS = 16
Json = dict[str, Any]
_trials: OrderedDict[str, tuple[datetime, Progress]] = OrderedDict()
_trials_lock = threading.Lock()


@router.get("/summary", tags=["overview"], response_model=SummaryRow, responses=responses())
def get_summary(session: SessionDep, own: TheirOwn, model: Annotated[Model | None, Query()] = None) -> Any:
    """Per model: its spec's words, aliases, live split, revisions, and the latest runs with their verdicts (without evidence)."""
    specs = {name: known.spec for name, known in catalogue.all().items() if known.spec is not None}
    known = set(specs) | set(session.scalars(select(db.Revision.model).distinct()))
    names = sorted(name for name in known if model in (None, name) and own.model(name))
    found, problem = aliases.of(names)
    runs, revisions, split = latest_runs(session, names), _revisions(session, names), splits() or {}
    done, held = _acts(session, names), holds.current(session, names)
    rows = [
        {
            "model": name,
            "task": specs[name].task.value if name in specs else "",
            "description": specs[name].description if name in specs else "",
            "aliases": found[name],
            "split": split.get(name),
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
    kept = evidence.latest(session, run_key, "canary")
    verdict = Verdict.from_json(kept.body) if kept else progress.verdict()
    given = orders.of(session, run_key)
    series, mirror_s = current.series, progress.mirror_s
    found = {
        "run_key": run_key,
        "plan": current.plan.to_json(),
        "mirrored": progress.in_mirror,
        "series": [dict(point) for point in thinned(series)],
        "decision": verdict.decision.value,
        "reasons": list(verdict.reasons),
        "rules": [vars(rule) for rule in verdict.rules],
        "waiting": waiting(progress, verdict),
        "passed_s": progress.passed_s,
        "age_s": max((datetime.now(UTC) - _last_look(session, run_key)).total_seconds(), 0.0),
        "longest_s": mirror_s + progress.plan.duration_s,
        "per_s": rate(series),
        "requests": series[-1]["canary_requests"] if series else 0,
        "paused": bool(given) and given[-1].order == Order.PAUSE and not kept,
        "orders": [OrderRow.model_validate(row, strict=False).model_dump(mode="json") for row in given],
    }
    return JSONResponse(found)


@router.get("/orders", tags=["acts"], response_model=list[OrderRow], responses=responses())
def list_orders(session: SessionDep, run_key: Annotated[AskedRunKey, Query()]) -> Any:
    """What people had a run's trial do, in order."""
    return [OrderRow.model_validate(row, strict=False) for row in orders.of(session, run_key)]


@router.post("/orders", tags=["acts"], response_model=OrderRow, responses=responses(409, body=True))
def give_order(body: OrderBody, session: SessionDep, who: Annotated[str, Depends(may_write)], own: TheirOwn) -> Any:
    """Have a trial under way pause, resume, promote or end: it obeys within seconds. Kept with who and why. 409 where it can't be done now.
    Operators and admins."""
    if not own.model(model_of_run(body.run_key), Role.OPERATOR):
        raise Refusal(403, "You may not order about the trials of another team's model.")
    evidence.lock(session)  # two who order at once: the second sees what the first has ordered
    given, kept = orders.of(session, body.run_key), evidence.latest(session, body.run_key, "canary")
    last = Order(given[-1].order) if given else None
    why_not = hindrance(body.order, last, under_way=_at_trial(session, body.run_key), decided=kept.decision if kept else "")
    if why_not:
        raise Refusal(409, why_not)
    row = orders.give(session, body.run_key, body.order, who, body.why.strip(), datetime.now(UTC))
    session.commit()  # before the answer: from then on it is obeyed
    return OrderRow.model_validate(row, strict=False)


def _last_look(session: Session, run_key: str) -> datetime:
    query = select(db.Look.at).where(db.Look.run_key == run_key).order_by(db.Look.number.desc()).limit(1)
    return session.scalar(query) or datetime.now(UTC)


def _at_trial(session: Session, run_key: str) -> bool:
    """Whether the run's task canary is under way."""
    dag_id, _, run_id = run_key.partition("/")
    table = TaskInstance
    query = select(table.task_id).where(table.dag_id == dag_id, table.run_id == run_id, table.task_id == "canary")
    return dag_id.endswith("_lifecycle") and session.scalar(query.where(table.state.in_(UNDER_WAY))) is not None


def rate(series: Sequence[Mapping[str, Any]], looks: int = 5) -> float | None:
    """Return how many requests a second the canary has had over the latest looks; None before there are two. Pure."""
    part = series[-looks - 1 :]
    if len(part) < 2 or part[-1]["at_s"] <= part[0]["at_s"]:
        return None
    return float((part[-1]["canary_requests"] - part[0]["canary_requests"]) / (part[-1]["at_s"] - part[0]["at_s"]))


def waiting(progress: Progress, verdict: Verdict) -> list[str]:
    """Why the trial goes on: what of its time is left, and which rules do not hold yet. Empty once it is decided."""
    if verdict.decision is not Decision.CONTINUE:
        return []
    current = progress.current
    kind = "mirrored traffic" if progress.in_mirror else "the trial"
    passed = f"{current.at_s:.0f} of {current.plan.duration_s:.0f} s of {kind} have passed"
    left = f"{passed}; a rollback may come at any look, a promotion at the end."
    return [left, *(f"{rule.name}: {rule.detail}" for rule in verdict.rules if rule.passed is None)]


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
