"""A model's versions for its page: score, when each was champion, why it went up or down, warm or cold; and two of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.taskinstance import TaskInstance
from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_their_teams
from include.errors import UpdraftError
from include.release.compare import Side, compare
from include.release.reigns import Happening, Kept, happenings, reigns
from lifecycle.api.fields import Model, Version
from lifecycle.api.live import aliases, registry
from lifecycle.api.page_models import ComparisonRow, VersionsRow
from lifecycle.api.runs import reports_of
from lifecycle.db import models as db

router = APIRouter(prefix="/v1", tags=["overview"], dependencies=[Depends(may_read), Depends(of_their_teams)])
MOVING = ("canary", "return", "watch", "deploy")
WARM = ("RUNNING", "STANDBY", "STARTING")
MOST = 100
"""Versions shown, the newest; older ones are MLflow's to show."""
Json = dict[str, Any]


@router.get("/versions", response_model=VersionsRow, responses=responses())
def list_versions(session: SessionDep, model: Annotated[Model, Query()]) -> Any:
    """Of a model every version that has come to a deployment, newest first."""
    found, problem = aliases.of([model])
    moved = happenings(_kept(session, model), _promoted(session, model))
    states = _states(session, model)
    run_keys = _run_keys(session, model)
    scores, reports = _scores(session, list(run_keys.values())), _reports(session, run_keys)
    reigned = reigns(moved, found[model].get("champion"))
    numbers = sorted({*states, *run_keys, *found[model].values()}, reverse=True)[:MOST]
    roles = {version: alias for alias, version in found[model].items()}
    rows = []
    for number in numbers:
        key = run_keys.get(number, "")
        last = next((one for one in reversed(moved) if one.version == number), None)
        rows.append(
            {
                "version": number,
                "role": roles.get(number, ""),
                **scores.get(key, {"metric": "", "score": None, "low": None, "high": None}),
                "reigns": [vars(one) for one in reigned if one.version == number],
                "moved": [_said(one) for one in moved if one.version == number][-5:],
                "why": last.why if last else "",
                "warm": states.get(number, "") in WARM,
                "state": states.get(number, ""),
                "run_key": key,
                "report": reports.get(key, ""),
            }
        )
    return VersionsRow.model_validate({"model": model, "registry_problem": problem, "mlflow": _page(model), "versions": rows}, strict=False)


@router.get("/compare", response_model=ComparisonRow, responses=responses(404))
def compare_versions(
    session: SessionDep, model: Annotated[Model, Query()], a: Annotated[Version, Query()], b: Annotated[Version, Query()]
) -> Any:
    """Two versions side by side: scores, slices, parameters, data, spec and code. What MLflow alone knows is left out, and said, while
    it is away."""
    keys = _run_keys(session, model)
    if missing := [version for version in (a, b) if version not in keys]:
        raise Refusal(404, f"Nothing is kept of version {missing[0]} of {model}.")
    sides, problem = [], ""
    for version in (a, b):
        try:
            facts = registry().version_facts(model, version)
        except UpdraftError as error:
            facts, problem = None, f"The model registry does not answer: {error}"
        sides.append(_side(session, keys[version], version, facts))
    return ComparisonRow.model_validate({"model": model, "registry_problem": problem, **compare(*sides)}, strict=False)


def _side(session: Session, run_key: str, version: int, facts: Mapping[str, Any] | None) -> Side:
    table, spec = db.Verdict, session.get(db.RunSpec, run_key)
    gate = select(table.body["evidence"]["evaluation"]).where(table.run_key == run_key, table.kind == "gate")
    data = select(table.body["evidence"]["profile"]).where(table.run_key == run_key, table.kind == "data")
    return Side(
        version=version,
        evaluation=session.scalar(gate.order_by(table.entry.desc()).limit(1)) or {},
        profile=session.scalar(data.order_by(table.entry.desc()).limit(1)) or {},
        spec=spec.spec if spec else {},
        params=None if facts is None else facts["params"],
        data=None if facts is None else facts["data"],
        code=None if facts is None else facts["code"],
    )


def _kept(session: Session, model: str) -> list[Kept]:
    table = db.Verdict
    columns = (table.kind, table.decision, table.version, table.at, table.run_key, table.body["reasons"].label("reasons"))
    query = select(*columns, table.body["evidence"]["champion"].label("champion")).where(table.model == model, table.kind.in_(MOVING))
    latest: dict[tuple[str, str], Kept] = {}
    for row in session.execute(query.order_by(table.entry)):
        reason = str(row.reasons[0]) if row.reasons else ""
        champion = int(row.champion) if row.kind == "return" and row.champion is not None else None
        # The latest of a run's verdicts of one kind counts.
        latest[row.run_key, row.kind] = Kept(row.kind, row.decision, row.version, row.at, reason, row.run_key, champion)
    return list(latest.values())


def _promoted(session: Session, model: str) -> list[tuple[str, Any]]:
    table = TaskInstance
    query = select(table.dag_id, table.run_id, table.end_date)
    query = query.where(table.dag_id == f"{model}_lifecycle", table.task_id == "promote", table.state == "success")
    return [(f"{dag_id}/{run_id}", end) for dag_id, run_id, end in session.execute(query) if end is not None]


def _run_keys(session: Session, model: str) -> dict[int, str]:
    """Version → the run that made it."""
    table = db.Verdict
    query = select(table.version, table.run_key).where(table.model == model, table.version.is_not(None))
    made = query.where(table.kind.in_(("deploy", "canary")), table.run_key.startswith(f"{model}_lifecycle/", autoescape=True))
    return {int(version): key for version, key in session.execute(made.order_by(table.entry)) if version is not None}


def _scores(session: Session, run_keys: Sequence[str]) -> dict[str, Json]:
    table, found = db.Verdict, dict[str, Json]()
    of = table.body["evidence"]["evaluation"]
    query = select(table.run_key, of["metric"].label("metric"), of["scores"].label("scores"))
    for begin in range(0, len(run_keys), MOST):
        part = query.where(table.kind == "gate", table.run_key.in_(run_keys[begin : begin + MOST])).order_by(table.entry)
        for row in session.execute(part):
            score = (row.scores or {}).get(row.metric) or {}
            found[row.run_key] = {
                "metric": row.metric or "",
                "score": score.get("value"),
                "low": score.get("low"),
                "high": score.get("high"),
            }
    return found


def _reports(session: Session, run_keys: Mapping[int, str]) -> dict[str, str]:
    parts = [dict(zip(("dag_id", "run_id"), key.split("/", 1), strict=True)) for key in run_keys.values()]
    return {f"{dag_id}/{run_id}": page for (dag_id, run_id), page in reports_of(session, parts).items()}


def _states(session: Session, model: str) -> dict[int, str]:
    query = select(db.Revision.version, db.Revision.state).where(db.Revision.model == model)
    return {version: state for version, state in session.execute(query)}


def _said(one: Happening) -> Json:
    return {name: getattr(one, name) for name in ("at", "way", "kind", "decision", "why", "run_key")}


def _page(model: str) -> str:
    """The model's page in MLflow's own UI; empty where no registry is configured."""
    try:
        return f"{registry().url}/#/models/{model}"
    except Exception:  # a missing connection is the registry's problem, and told there
        return ""
