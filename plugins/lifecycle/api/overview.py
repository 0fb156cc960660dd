"""What the page Models shows: a row a model, all of them in one answer that is made once for everybody who asks within two seconds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_shared.auth import may_read
from api_shared.problems import responses
from api_shared.teams import Mine, TheirOwn
from include.gateway.recent import Recent, recent
from include.release.standing import Facts, standing
from include.runtime.settings import Settings
from include.serving.revision import RevisionState
from lifecycle.api.catalogue import Known, catalogue
from lifecycle.api.live import aliases, splits
from lifecycle.api.page_models import OverviewRow
from lifecycle.api.runs import SUFFIXES, tasks_of, verdicts_of
from lifecycle.db import models as db
from lifecycle.db import orders

router = APIRouter(prefix="/v1", tags=["overview"], dependencies=[Depends(may_read)])
KEPT_S = 2.0
OLD_S = 15.0
"""An answer that has been out of date for so long is given to nobody."""
AT_ONCE = 200
"""Keys of one query: SQLite takes 999 values."""
DRIFT_DAYS = 7
"""An older look at production says nothing of today."""
Json = dict[str, Any]


class Shared:
    """An answer that is made by one caller at a time, and given to all others who ask meanwhile and for a moment after: a slow database
    holds up that one, and the others only once what they would get is old."""

    def __init__(self, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s, self._clock, self._lock = kept_s, clock, threading.Lock()
        self._until, self._made = -OLD_S, (b"", "")

    def get(self, make: Callable[[], Json]) -> tuple[bytes, str]:
        """Return the answer as JSON, and a tag that changes when it does."""
        now = self._clock()
        if now >= self._until and self._lock.acquire(blocking=now >= self._until + OLD_S):
            try:
                if self._clock() >= self._until:  # nobody has made it while this one waited
                    self._made = _tagged(make())
                    self._until = self._clock() + self._kept_s
            finally:
                self._lock.release()
        return self._made


def _tagged(answer: Json) -> tuple[bytes, str]:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return body, f'"{blake2s(body, digest_size=12).hexdigest()}"'


def _of_teams(answer: Json, own: Mine) -> Json:
    """What of it is about the caller's own models."""
    return answer | {"models": [row for row in answer["models"] if own.model(row["model"])]}


_shared = Shared()


@router.get("/overview", response_model=OverviewRow, responses={**responses(), 304: {"description": "As the tag says."}})
def get_overview(session: SessionDep, request: Request, own: TheirOwn) -> Any:
    """Per model: what it stands at, its traffic, the last minute's requests, errors and median time, drift and latest run.

    What could not be read is named in ``unknown``. Carries an ETag: 304 while nothing has changed.
    """
    body, tag = _shared.get(lambda: overview(session, Settings.load(), time.time()))
    if not own.everything:
        body, tag = _tagged(_of_teams(json.loads(body), own))
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def overview(session: Session, settings: Settings, now_s: float) -> Json:
    """Return the row of every model that has a spec, a revision or an alias."""
    specs, revisions = catalogue.all(), _revisions(session)
    names = sorted({*specs, *revisions})
    found, problem = aliases.of(names)
    split, live = splits(), recent(settings.gateway_log, now_s)
    runs, drifts, alerts = _runs(session, names), _drifts(session, names), _alerts(session)
    unknown = [part for part, there in (("registry", not problem), ("split", split is not None), ("live", live is not None)) if not there]
    rows = []
    for name in names:
        spec, run, drift, traffic = specs.get(name), runs.get(name), drifts.get(name), (split or {}).get(name)
        facts = Facts(
            problem=spec.problem if spec else "",
            champion=found[name].get("champion"),
            challenger=found[name].get("challenger"),
            weights=traffic["weights"] if traffic else None,
            mirror=traffic["mirror"] if traffic else None,
            states=revisions.get(name, {}),
            registry=not problem,
            alerts=alerts.get(name, 0),
            drift=drift["decision"] if drift else "",
            **(run["facts"] if run else {}),
        )
        # It serves, and not behind this machine's gateway: what a cluster's sends it is not known here.
        elsewhere = traffic is None and facts.champion is not None and facts.states.get(facts.champion) == RevisionState.RUNNING
        figures = None if live is None or elsewhere else _figures(live.get(name))
        rows.append(
            _row(name, spec, facts)
            | {"aliases": found[name], "split": traffic, "live": figures, "elsewhere": elsewhere, "drift": drift, "run": run and run["row"]}
        )
    return {"models": rows, "unknown": unknown, "registry_problem": problem}


def _row(name: str, known: Known | None, facts: Facts) -> Json:
    stands, spec = standing(facts), known.spec if known else None
    about = {"description": spec.description if spec else "", "task": spec.task.value if spec else ""}
    return {"model": name, "word": stands.word.value, "facts": dict(stands.facts), "tone": stands.tone, "needs": list(stands.needs)} | about


def _figures(found: Recent | None) -> Json:
    """To the digits that a row shows: the answer changes no more often than what is seen."""
    if found is None:
        return {"per_minute": 0, "error_rate": None, "p50_ms": None}
    share = None if found.error_rate is None else float(f"{found.error_rate:.2g}")
    return {"per_minute": float(f"{found.per_minute:.3g}"), "error_rate": share, "p50_ms": found.p50_ms and float(f"{found.p50_ms:.2g}")}


def _revisions(session: Session) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for model, version, state in session.execute(select(db.Revision.model, db.Revision.version, db.Revision.state)):
        found.setdefault(model, {})[version] = state
    return found


def _runs(session: Session, names: Sequence[str]) -> dict[str, Json]:
    """Of each model the latest run of its lifecycle or of a return by hand, and the facts that its standing needs."""
    of = {f"{name}{suffix}": name for name in names for suffix in SUFFIXES}
    columns = (DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date, DagRun.queued_at)
    rows: dict[str, Json] = {}
    for dags in _parts(list(of)):
        newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(dags)).group_by(DagRun.dag_id)
        for row in session.execute(select(*columns).where(DagRun.id.in_(newest)).order_by(DagRun.id)):
            rows[of[row.dag_id]] = row._asdict()  # the newer of the two comes last
    tasks: dict[tuple[str, str], list[Json]] = {}
    verdicts: dict[str, list[Json]] = {}
    for part in _parts(list(rows.values())):
        tasks |= tasks_of(session, part)
        verdicts |= verdicts_of(session, part)
    trials = [f"{row['dag_id']}/{row['run_id']}" for row in rows.values() if tasks.get((row["dag_id"], row["run_id"]))]
    given = {key: row for part in _parts(trials) for key, row in orders.latest(session, part).items()}
    return {model: _run(row, tasks, verdicts, given) for model, row in rows.items()}


def _run(
    row: Json, tasks: Mapping[tuple[str, str], list[Json]], verdicts: Mapping[str, list[Json]], given: Mapping[str, db.TrialOrder]
) -> Json:
    key, now = f"{row['dag_id']}/{row['run_id']}", tasks.get((row["dag_id"], row["run_id"]), [])
    mine = verdicts.get(key, [])
    last = mine[-1] if mine else None
    under_way = str(row["state"]) in ("queued", "running")
    on_trial = any(task["task_id"] == "canary" for task in now) and not any(one["kind"] == "canary" for one in mine)
    waiting = next((task for task in now if task.get("gpu")), None)
    first = next((task["task_id"] for task in now if task["task_id"] in ("hold", "approve")), now[0]["task_id"] if now else "")
    facts = {
        "task": first or ("queued" if under_way else ""),
        "waits_for_gpu": waiting is not None,
        "gpu_wait_s": waiting["gpu"]["starts_at"] - time.time() if waiting and waiting["gpu"]["starts_at"] else None,
        "on_trial": on_trial and under_way,
        "paused": on_trial and key in given and given[key].order == "pause",
        "last_failed": str(row["state"]) == "failed",
    }
    at = row["end_date"] or row["start_date"] or row["queued_at"]
    shown = {"dag_id": row["dag_id"], "run_id": row["run_id"], "state": str(row["state"]), "at": at.isoformat() if at else None}
    shown |= {"kind": last["kind"] if last else None, "decision": last["decision"] if last else None}
    return {"row": shown, "facts": facts}


def _drifts(session: Session, names: Iterable[str]) -> dict[str, Json]:
    """The latest look at each model's production, of the last days."""
    table, since, wanted = db.Verdict, datetime.now(UTC) - timedelta(days=DRIFT_DAYS), set(names)
    newest = select(func.max(table.entry)).where(table.kind == "drift", table.at > since).group_by(table.model)
    query = select(table.model, table.decision, table.at).where(table.entry.in_(newest))
    return {row.model: {"decision": row.decision, "at": row.at.isoformat()} for row in session.execute(query) if row.model in wanted}


def _alerts(session: Session) -> dict[str, int]:
    """How many critical alerts fire for each model."""
    table = db.Alert
    query = select(table.model, func.count()).where(table.ends_at.is_(None), table.severity == "critical").group_by(table.model)
    return {model: count for model, count in session.execute(query)}


def _parts(keys: list[Any]) -> Iterable[list[Any]]:
    return (keys[begin : begin + AT_ONCE] for begin in range(0, len(keys), AT_ONCE))
