"""What became of a run, for its tab: outcome, the rule that decided, links, what changed since the version before, and Markdown."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_their_teams
from include.canary.plan import TrialPlan
from include.errors import UpdraftError
from include.report.answer import deciding, markdown
from include.report.canary_figures import thinned
from include.report.data import TaskTime
from include.report.outcome import outcome_of
from include.runtime.settings import Settings
from include.verdict import Verdict
from lifecycle.api.fields import AskedRunKey
from lifecycle.api.live import registry
from lifecycle.api.page_models import OutcomeRow
from lifecycle.api.runs import LOOKS, REPORT, SUFFIXES, reports_of
from lifecycle.db import began
from lifecycle.db import models as db

router = APIRouter(prefix="/v1", tags=["overview"], dependencies=[Depends(may_read), Depends(of_their_teams)])
Json = dict[str, Any]


@router.get("/outcome", response_model=OutcomeRow, responses=responses(404))
def get_outcome(session: SessionDep, run_key: Annotated[AskedRunKey, Query()]) -> Any:
    """What became of a run, or what it is at, out of the platform's own tables: it is there while MLflow is away."""
    dag_id, _, run_id = run_key.partition("/")
    model = next((dag_id.removesuffix(suffix) for suffix in (*SUFFIXES, LOOKS) if dag_id.endswith(suffix)), "")
    run = session.execute(select(DagRun.id, DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if not model or run is None:
        raise Refusal(404, f"{run_key!r} is no run of a model of Updraft's.")
    rows = {row.kind: row for row in session.scalars(select(db.Verdict).where(db.Verdict.run_key == run_key).order_by(db.Verdict.entry))}
    verdicts = {kind: Verdict.from_json(row.body) for kind, row in reversed(rows.items())}
    version = next((row.version for row in reversed(rows.values()) if row.version is not None), None)
    times = _times(session, dag_id, run_id)
    outcome = outcome_of(f"Version {version} of {model}" if version is not None else model, verdicts, times)
    decided, report = deciding(verdicts), reports_of(session, [{"run_id": run_id}]).get((dag_id, run_id), "")
    before = _before(verdicts)
    mlflow, problem = _mlflow(report)
    page = f"{Settings.load().airflow_url}/dags/{dag_id}/runs/{run_id}"
    facts = [("run", page), *([("MLflow", mlflow)] if mlflow else []), *([("version before", f"v{before}")] if before else [])]
    found = {
        "run_key": run_key,
        "model": model,
        "state": str(run.state),
        "version": version,
        "before": before,
        "began": began.why(session, [run.id])[run.id],
        "label": outcome.label,
        "tone": outcome.tone,
        "sentence": outcome.sentence,
        "reasons": list(outcome.reasons),
        "rule": {"kind": decided.kind, **vars(decided.rule)} if decided else None,
        "scores": _scores(verdicts.get("gate")),
        "trial": _trial(verdicts.get("canary")),
        "report": report,
        "mlflow": mlflow,
        "registry_problem": problem,
        "has_docs": "data" in verdicts,
        "markdown": markdown(title=f"{model} {run_id}", outcome=outcome, deciding=decided, verdicts=verdicts, facts=facts),
    }
    return OutcomeRow.model_validate(found, strict=False)


def _times(session: Session, dag_id: str, run_id: str) -> tuple[TaskTime, ...]:
    table = TaskInstance
    query = select(table.task_id, table.state, table.queued_dttm, table.start_date, table.end_date, table.try_number)
    rows = session.execute(query.where(table.dag_id == dag_id, table.run_id == run_id))
    return tuple(
        TaskTime(task, str(state) if state else None, queued=_iso(queued), started=_iso(start), ended=_iso(end), tries=tries)
        for task, state, queued, start, end, tries in rows
    )


def _iso(at: Any) -> str | None:
    return at.isoformat() if at else None


def _before(verdicts: dict[str, Verdict]) -> int | None:
    """The version that the run's was held against: the champion of then."""
    gate, back = verdicts.get("gate"), verdicts.get("return")
    if gate is not None and (champion := (gate.evidence.get("evaluation") or {}).get("champion")):
        return int(champion["version"])
    return int(back.evidence["champion"]) if back is not None and back.evidence.get("champion") else None


def _scores(gate: Verdict | None) -> Json | None:
    """The metric that the gate goes by, of this version and of the champion: figure and bounds."""
    evaluation = (gate.evidence.get("evaluation") or {}) if gate else {}
    metric, champion = evaluation.get("metric"), evaluation.get("champion") or {}
    mine, other = (evaluation.get("scores") or {}).get(metric), (champion.get("scores") or {}).get(metric)
    if not mine:
        return None
    return {"metric": metric, "mine": _bounds(mine), "champion": _bounds(other) if other else None}


def _bounds(score: Json) -> list[float | None]:
    return [score.get(name) for name in ("value", "low", "high")]


def _trial(canary: Verdict | None) -> Json | None:
    """The curves that the trial's verdict has kept."""
    if canary is None or not canary.evidence.get("series") or not canary.evidence.get("plan"):
        return None
    plan = TrialPlan.from_json(canary.evidence["plan"])
    return {"plan": plan.to_json(), "series": [dict(point) for point in thinned(canary.evidence["series"])]}


def _mlflow(run_id: str) -> tuple[str, str]:
    """The run's page in MLflow's own UI, and why it is not known."""
    if not run_id or not REPORT.fullmatch(f"/lifecycle/report/{run_id}"):
        return "", ""
    try:
        return registry().run_page(run_id), ""
    except UpdraftError as error:
        return "", f"The model registry does not answer: {error}"
    except Exception as error:  # a missing connection
        return "", f"The model registry is not configured: {error}"
