"""What tasks and triggers keep of a run, and what pages and reports read of it. Every write may be repeated.

Nothing that a run has found is ever changed or removed: see ``lifecycle.db.evidence``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import JSONResponse
from sqlalchemy import func, select

from api_shared.auth import may_keep, may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_a_named_model
from include.kinds.frozen import thaw
from lifecycle.api.datamodels import (
    AnyVerdict,
    HistoryRow,
    LookBody,
    LookRow,
    RevisionBody,
    RevisionRow,
    SpecBody,
    SpecRow,
    VerdictRow,
)
from lifecycle.api.fields import AskedRunKey, Model, Version
from lifecycle.db import evidence, serving
from lifecycle.db.models import Look, Revision, RunSpec, Verdict

router = APIRouter(prefix="/v1", dependencies=[Depends(may_read), Depends(of_a_named_model)])
Service = Annotated[str, Depends(may_keep)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Start = Annotated[int, Query(ge=0, le=2**31 - 1)]
Rows = Annotated[int, Query(ge=1, le=1000)]
OfModel = Annotated[Model | None, Query()]
OfRun = Annotated[AskedRunKey | None, Query()]
REVISIONS, EVIDENCE = "revisions", "evidence"


@router.get("/revisions", tags=[REVISIONS], response_model=list[RevisionRow], responses=responses())
def list_revisions(session: SessionDep, model: OfModel = None) -> Any:
    """Every revision, newest version first."""
    query = select(Revision).order_by(Revision.model, Revision.version.desc())
    if model is not None:
        query = query.where(Revision.model == model)
    return [RevisionRow.model_validate(row, strict=False) for row in session.scalars(query)]


@router.put("/revisions", tags=[REVISIONS], response_model=RevisionRow, responses=responses(body=True))
def put_revision(body: RevisionBody, session: SessionDep, _: Service) -> Any:
    """Create a revision or change its state. What is not given stays as it is. One that is started shall run from now on, one that was
    ended shall not. The platform's service alone."""
    known = session.get(Revision, (body.model, body.version)) is not None
    now = datetime.now(UTC)
    row = session.merge(Revision(**body.model_dump(mode="json", exclude_unset=known), updated_at=now))
    serving.deployed(session, (body.model, body.version), body.state.value, now)
    session.flush()
    return RevisionRow.model_validate(row, strict=False)


@router.get("/verdicts", tags=[EVIDENCE], response_model=list[VerdictRow], responses=responses())
def list_verdicts(
    session: SessionDep,
    model: OfModel = None,
    run_key: OfRun = None,
    kind: Annotated[str | None, Query(max_length=32, pattern=r"^[a-z_]*$")] = None,
    version: Annotated[Version | None, Query()] = None,
    limit: Limit = 200,
) -> Any:
    """Verdicts, newest first; of each run the latest of each kind."""
    newest = select(func.max(Verdict.entry)).group_by(Verdict.run_key, Verdict.kind)
    if model is not None:
        newest = newest.where(Verdict.model == model)
    if run_key is not None:
        newest = newest.where(Verdict.run_key == run_key)
    if kind is not None:
        newest = newest.where(Verdict.kind == kind)
    query = select(Verdict).where(Verdict.entry.in_(newest)).order_by(Verdict.entry.desc())
    if version is not None:
        query = query.where(Verdict.version == version)
    query = query.limit(limit)
    return JSONResponse([_row(row, ("run_key", "kind", "model", "version", "decision", "body")) for row in session.scalars(query)])


@router.put("/verdicts", tags=[EVIDENCE], response_model=VerdictRow, responses=responses(body=True))
def put_verdict(body: Annotated[AnyVerdict, Body(discriminator="kind")], session: SessionDep, author: Service) -> Any:
    """Keep a verdict. A later one of the same run and kind counts in its place, and both stay. The platform's service alone."""
    if body.decision is not body.body.decision:
        raise Refusal(422, f"decision: is {body.decision.value}, and that of the body is {body.body.decision.value}.")
    row = evidence.keep_verdict(session, author, _plain(body))
    return JSONResponse(_row(row, ("run_key", "kind", "model", "version", "decision", "body")))


@router.get("/spec", tags=[EVIDENCE], response_model=SpecRow, responses=responses(404))
def get_spec(session: SessionDep, run_key: Annotated[AskedRunKey, Query()]) -> Any:
    """The spec that a run is bound to."""
    row = session.get(RunSpec, run_key)
    if row is None:
        raise Refusal(404, f"No spec of run {run_key!r} is kept.")
    return JSONResponse(_spec(row))


@router.put("/spec", tags=[EVIDENCE], response_model=SpecRow, responses=responses(body=True))
def put_spec(body: SpecBody, session: SessionDep, _: Service) -> Any:
    """Bind a run to a spec. One that is bound already stays so: its own spec is the answer. The platform's service alone."""
    thaw(body.spec)  # InputError for what is no spec
    row = session.get(RunSpec, body.run_key)
    if row is None:
        row = RunSpec(**body.model_dump(), at=datetime.now(UTC))
        session.add(row)
        session.flush()
    return JSONResponse(_spec(row))


@router.get("/looks", tags=[EVIDENCE], response_model=list[LookRow], responses=responses())
def list_looks(session: SessionDep, run_key: Annotated[AskedRunKey, Query()], limit: Limit = 10_000, start: Start = 0) -> Any:
    """A canary's looks in order, from number ``start`` on."""
    query = select(Look).where(Look.run_key == run_key, Look.number >= start).order_by(Look.number).limit(limit)
    return JSONResponse([_row(row, ("run_key", "number", "body")) for row in session.scalars(query)])


@router.put("/looks", tags=[EVIDENCE], response_model=LookRow, responses=responses(409, body=True))
def put_look(body: LookBody, session: SessionDep, author: Service) -> Any:
    """Keep one look. A look that is there already stays as it is: what the judge has seen is never rewritten. 409 for one that does not
    follow the run's last. The platform's service alone."""
    try:
        row = evidence.keep_look(session, author, _plain(body))
    except ValueError as error:
        raise Refusal(409, f"number: {error}.") from None
    return JSONResponse(_row(row, ("run_key", "number", "body")))


@router.get("/history", tags=[EVIDENCE], response_model=HistoryRow, responses=responses())
def read_history(session: SessionDep, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0, limit: Rows = 100) -> Any:
    """All that is kept, in the order in which it was, with the hashes that chain it: ``python -m include.evidence`` checks them."""
    entries, head = evidence.history(session, after, limit)
    return JSONResponse({"entries": entries, "head": vars(head)})


def _plain(body: Any) -> dict[str, Any]:
    """As it came, checked: a field that was not given stays away."""
    plain: dict[str, Any] = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"version": None} | plain if "kind" in plain else plain


def _spec(row: RunSpec) -> dict[str, Any]:
    return {"run_key": row.run_key, "model": row.model, "spec": row.spec, "at": row.at.isoformat()}


def _row(row: Verdict | Look, names: tuple[str, ...]) -> dict[str, Any]:
    """Not checked again: what earlier versions have kept is given out as it is."""
    found = {name: getattr(row, name) for name in (*names, "entry", "author", "hash")}
    return found | {"at": row.at.isoformat()}
