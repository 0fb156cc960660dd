"""Why runs began, out of Airflow's own tables and those of acts."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.models.asset import AssetEvent
from airflow.models.dagrun import DagRun
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from include.events.why import Began, Update, reason, sentence
from lifecycle.db.models import Act

AT_ONCE = 200
"""Keys of one query: SQLite takes 999 values."""


def why(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return a sentence a run, by the run's number in Airflow's table."""
    numbers, found = list(ids), dict[int, str]()
    for begin in range(0, len(numbers), AT_ONCE):
        query = select(DagRun).where(DagRun.id.in_(numbers[begin : begin + AT_ONCE]))
        query = query.options(selectinload(DagRun.consumed_asset_events).joinedload(AssetEvent.asset), selectinload(DagRun.dag_run_note))
        runs = list(session.scalars(query))
        keys = {f"{run.dag_id}/{run.run_id}": run for run in runs}
        acts = {act.run_key: f"{act.name}: {act.summary}" for act in session.scalars(select(Act).where(Act.run_key.in_(keys)))}
        found |= {run.id: sentence(_began(run, acts.get(key, ""))) for key, run in keys.items()}
    return found


def of(session: Session, dag: str, run: str) -> str | None:
    """Return why this run began; None for one that there is not."""
    number = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag, DagRun.run_id == run))
    return None if number is None else why(session, [number])[number]


def _began(run: DagRun, cause: str) -> Began:
    events = sorted(run.consumed_asset_events, key=lambda event: event.id)
    updates = tuple(Update(event.asset.uri, _source(event), event.extra or {}) for event in events)
    return Began(str(run.run_type), run.triggering_user_name or "", cause=cause, why=reason(run.note or ""), updates=updates)


def _source(event: AssetEvent) -> str:
    return f"{event.source_dag_id}/{event.source_task_id}" if event.source_dag_id else ""
