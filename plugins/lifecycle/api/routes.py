"""The plugin's REST API: what tasks and triggers keep, and what pages show. Every write may be repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, status
from sqlalchemy import select

from lifecycle.api.auth import may_read, may_write
from lifecycle.api.datamodels import LookBody, LookRow, RevisionBody, RevisionRow, SpecBody, SpecRow, VerdictBody, VerdictRow
from lifecycle.db.models import Look, Revision, RunSpec, Verdict

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read)])
WRITE = [Depends(may_write)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/revisions")
def revisions(session: SessionDep, model: str | None = None) -> list[RevisionRow]:
    """Every revision, newest version first."""
    query = select(Revision).order_by(Revision.model, Revision.version.desc())
    if model is not None:
        query = query.where(Revision.model == model)
    return [RevisionRow.model_validate(row) for row in session.scalars(query)]


@router.put("/revisions", dependencies=WRITE)
def put_revision(body: RevisionBody, session: SessionDep) -> RevisionRow:
    """Create a revision or change its state. What is not given stays as it is."""
    known = session.get(Revision, (body.model, body.version)) is not None
    row = session.merge(Revision(**body.model_dump(mode="json", exclude_unset=known), updated_at=datetime.now(UTC)))
    session.flush()
    return RevisionRow.model_validate(row)


@router.get("/verdicts")
def verdicts(session: SessionDep, model: str | None = None, run_key: str | None = None, limit: Limit = 200) -> list[VerdictRow]:
    """Verdicts, newest first."""
    query = select(Verdict).order_by(Verdict.at.desc()).limit(limit)
    if model is not None:
        query = query.where(Verdict.model == model)
    if run_key is not None:
        query = query.where(Verdict.run_key == run_key)
    return [VerdictRow.model_validate(row) for row in session.scalars(query)]


@router.put("/verdicts", dependencies=WRITE)
def put_verdict(body: VerdictBody, session: SessionDep) -> VerdictRow:
    """Keep a verdict; a run's verdict of one kind is replaced by a later one (a task that ran again)."""
    row = session.merge(Verdict(**body.model_dump(mode="json"), at=datetime.now(UTC)))
    session.flush()
    return VerdictRow.model_validate(row)


@router.get("/spec")
def spec(session: SessionDep, run_key: str) -> SpecRow:
    """The spec that a run is bound to."""
    row = session.get(RunSpec, run_key)
    if row is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No spec of run {run_key!r} is kept.")
    return SpecRow.model_validate(row)


@router.put("/spec", dependencies=WRITE)
def put_spec(body: SpecBody, session: SessionDep) -> SpecRow:
    """Bind a run to a spec. One that is bound already stays so: its own spec is the answer."""
    row = session.get(RunSpec, body.run_key)
    if row is None:
        row = RunSpec(**body.model_dump(), at=datetime.now(UTC))
        session.add(row)
        session.flush()
    return SpecRow.model_validate(row)


@router.get("/looks")
def looks(session: SessionDep, run_key: str, limit: Limit = 10_000) -> list[LookRow]:
    """A canary's looks, in order."""
    query = select(Look).where(Look.run_key == run_key).order_by(Look.number).limit(limit)
    return [LookRow.model_validate(row) for row in session.scalars(query)]


@router.put("/looks", dependencies=WRITE)
def put_look(body: LookBody, session: SessionDep) -> LookRow:
    """Keep one look. A look that is there already stays as it is: what the judge has seen is never rewritten."""
    row = session.get(Look, (body.run_key, body.number))
    if row is None:
        row = Look(**body.model_dump(), at=datetime.now(UTC))
        session.add(row)
        session.flush()
    return LookRow.model_validate(row)


@router.delete("/looks", dependencies=WRITE)
def delete_looks(run_key: str, session: SessionDep) -> dict[str, int]:
    """Forget a run's looks: its canary starts anew (the task was cleared)."""
    rows = list(session.scalars(select(Look).where(Look.run_key == run_key)))
    for row in rows:
        session.delete(row)
    return {"deleted": len(rows)}
