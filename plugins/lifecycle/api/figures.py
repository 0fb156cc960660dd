"""What runs have found, as figures for Prometheus: verdicts, runs with their durations, revisions by their state."""

from __future__ import annotations

from collections.abc import Callable

from airflow.models.dagrun import DagRun
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from include import prometheus
from include.prometheus import Labels
from include.spec.names import DAGS
from lifecycle.db.models import Revision, Verdict


def found_text(session: Session, shown: Callable[[str], bool]) -> str:
    """Return the figures of the models that are ``shown`` in Prometheus' text format; models without any have none."""
    verdicts: dict[Labels, float] = {}
    latest: dict[Labels, float] = {}
    query = select(Verdict.model, Verdict.kind, Verdict.decision, func.count(), func.max(Verdict.at))
    for model, kind, decision, count, at in session.execute(query.group_by(Verdict.model, Verdict.kind, Verdict.decision)):
        who = (("model", model), ("kind", kind), ("decision", decision))
        if shown(model):
            verdicts[who], latest[who] = count, at.timestamp()
    revisions: dict[Labels, float] = {
        (("model", model), ("revision", str(version)), ("state", state)): 1
        for model, version, state in session.execute(select(Revision.model, Revision.version, Revision.state))
        if shown(model)
    }
    runs, seconds = _runs(session, shown)
    lines = [
        *prometheus.metric("updraft_verdicts_total", "counter", "Verdicts by what they decided.", verdicts),
        *prometheus.metric("updraft_verdict_last_seconds", "gauge", "When the latest of them was kept, since the epoch.", latest),
        *prometheus.metric("updraft_revision_state", "gauge", "1 for the state of each revision.", revisions),
        *prometheus.metric("updraft_runs_total", "counter", "Runs that have ended, by how.", runs),
        *prometheus.metric("updraft_run_last_duration_seconds", "gauge", "What the latest of them took.", seconds),
    ]
    return "\n".join(lines) + "\n"


def _runs(session: Session, shown: Callable[[str], bool]) -> tuple[dict[Labels, float], dict[Labels, float]]:
    """Return how many runs of each DAG have ended in each state, and what the latest took; the database counts them."""
    ours = or_(*(DagRun.dag_id.endswith(f"_{name}", autoescape=True) for name in DAGS))
    counted = select(DagRun.dag_id, DagRun.state, func.count().label("count"), func.max(DagRun.end_date).label("end"))
    counted = counted.where(ours, DagRun.end_date.is_not(None), DagRun.start_date.is_not(None)).group_by(DagRun.dag_id, DagRun.state)
    latest = counted.subquery()
    same = (DagRun.dag_id == latest.c.dag_id) & (DagRun.state == latest.c.state) & (DagRun.end_date == latest.c.end)
    runs: dict[Labels, float] = {}
    seconds: dict[Labels, float] = {}
    query = select(DagRun.dag_id, DagRun.state, latest.c.count, DagRun.start_date, DagRun.end_date).join(latest, same)
    for dag_id, state, count, start, end in session.execute(query):
        model, _, dag = dag_id.rpartition("_")
        who = (("model", model), ("dag", dag), ("state", str(state)))
        if shown(model):
            runs[who], seconds[who] = count, (end - start).total_seconds()
    return runs, seconds
