"""What alerts and verdicts have brought about, the holds by which a person stops it, and what people are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy import select

from api_shared.auth import may_read, may_write
from api_shared.problems import Refusal, responses
from api_shared.teams import TheirOwn, of_a_named_model
from include.errors import UpdraftError
from include.kinds.load import find
from include.pool.teams import Role
from include.runtime.settings import Settings
from lifecycle.api.fields import Body, Count, Line, Model, Text, Version
from lifecycle.db import acts, holds
from lifecycle.db.models import Hold, Notice

router = APIRouter(prefix="/v1", tags=["acts"], dependencies=[Depends(may_read)])
OfModel = Annotated[Model | None, Query()]
Most = Annotated[int, Query(ge=1, le=1000)]


class ActRow(Body):
    """An act: ``name`` is the alert's that asked for it or the verdict's kind, ``cause`` says which one; ``reason`` why it was refused.

    ``run_key`` is the run that carries it out, empty where there is none; ``version`` is the one that production goes back to.
    """

    id: Line
    model: Model
    act: Literal["notify", "rollback", "retrain"]
    state: Literal["PLANNED", "BEGUN", "REFUSED", "NOTIFIED"]
    cause: Line
    name: Line
    summary: Text
    reason: Text
    champion: Version | None
    version: Version | None
    run_key: Line
    at: datetime


class HoldBody(Body):
    """Whether alerts and the watch leave the model's production as it is, and why."""

    model: Model
    held: bool
    why: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class HoldRow(Body):
    model: Model
    held: bool
    who: Line
    why: Text
    at: datetime


class NoticeRow(Body):
    """What one channel is told, and how far that is: WAITING (until ``due``), SENT, or LOST after it has failed for a day."""

    key: Line
    channel: Line
    what: Line
    model: Line
    title: Text
    text: Text
    urgent: bool
    state: Literal["WAITING", "SENT", "LOST"]
    tries: Count
    problem: Text
    at: datetime
    due: datetime


@router.get("/acts", response_model=list[ActRow], responses=responses(), dependencies=[Depends(of_a_named_model)])
def list_acts(session: SessionDep, model: OfModel = None, limit: Most = 200) -> Any:
    """What was asked for by alerts and verdicts, the newest first, with what became of it."""
    return [ActRow.model_validate(row, strict=False) for row in acts.latest(session, None if model is None else [model], limit)]


@router.get("/holds", response_model=list[HoldRow], responses=responses(), dependencies=[Depends(of_a_named_model)])
def list_holds(
    session: SessionDep,
    model: OfModel = None,
    held: Annotated[bool, Query(description="Only what is held now.")] = False,
    limit: Most = 200,
) -> Any:
    """Holds and their ends, the newest first."""
    if held:
        rows = sorted(holds.current(session, None if model is None else [model]).values(), key=lambda row: -row.entry)[:limit]
    else:
        query = select(Hold).order_by(Hold.entry.desc()).limit(limit)
        rows = list(session.scalars(query if model is None else query.where(Hold.model == model)))
    return [HoldRow.model_validate(row, strict=False) for row in rows]


@router.post("/holds", response_model=HoldRow, responses=responses(404, body=True))
def set_hold(body: HoldBody, session: SessionDep, who: Annotated[str, Depends(may_write)], own: TheirOwn) -> Any:
    """Hold a model: neither alerts nor the watch change its production until it is let go on (``held`` false). Both are kept."""
    if body.model not in _models() or not own.model(body.model):
        raise Refusal(404, f"There is no model {body.model!r}.")
    if not own.model(body.model, Role.OPERATOR):
        raise Refusal(403, f"You may only look at {body.model}: its team has you as a viewer.")
    row = holds.set_hold(session, body.model, body.held, who, body.why.strip(), datetime.now(UTC))
    session.commit()  # before the answer: from then on it holds
    return HoldRow.model_validate(row, strict=False)


@router.get("/notices", response_model=list[NoticeRow], responses=responses(), dependencies=[Depends(of_a_named_model)])
def list_notices(
    session: SessionDep,
    state: Annotated[Literal["WAITING", "SENT", "LOST"] | None, Query()] = None,
    model: OfModel = None,
    limit: Most = 200,
) -> Any:
    """What people are told by the channels, the newest first."""
    query = select(Notice).order_by(Notice.at.desc(), Notice.key, Notice.channel).limit(limit)
    if model is not None:
        query = query.where(Notice.model == model)
    rows = session.scalars(query if state is None else query.where(Notice.state == state))
    return [NoticeRow.model_validate(row, strict=False) for row in rows]


def _models() -> set[str]:
    try:
        return {path.parent.name for path in find(Settings.load().models)}
    except UpdraftError:
        return set()
