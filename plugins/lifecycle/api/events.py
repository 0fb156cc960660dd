"""Where others tell of news of a model's data, and where it is read; and why a run began.

Whoever tells of news signs it, as Standard Webhooks has it, with the secret that is the password of the connection
``updraft_events_<sender>``. It is answered with 200 once it is in the database.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import APIRouter, Depends, Header, Query, Request, status
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy import select

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_a_named_model
from include.errors import UpdraftError
from include.events import signature
from include.kinds.load import load
from include.runtime.settings import Settings
from lifecycle.api.fields import AskedRunKey, Body, Line, Model, Text
from lifecycle.db import began, events
from lifecycle.db.models import Event

router = APIRouter(prefix="/v1", tags=["events"])
CONNECTION = "updraft_events_"
"""Begins the names of the connections that hold senders' secrets."""
Sender = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sign = Annotated[str, Header(max_length=1000)]


class EventBody(BaseModel):
    """News of a model's data; ``summary`` says in words what there is, and why. What else is sent is not looked at."""

    model: Model
    summary: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


class EventRow(Body):
    """News: WAITING until the model's asset is updated by it, then TOLD. SEEN: files as they were found first. DROPPED: nothing asks for
    it by now."""

    id: Line
    model: Model
    kind: Literal["webhook", "file"]
    sender: Line
    summary: Text
    state: Literal["SEEN", "WAITING", "TOLD", "DROPPED"]
    at: datetime


class BeganRow(Body):
    run_key: Line
    why: Text


@dataclass(frozen=True)
class Signed:
    """A message whose signature is its sender's. ``models``: what the sender may tell of; None for any."""

    sender: str
    id: str
    models: frozenset[str] | None


async def signed(
    request: Request,
    sender: Annotated[Sender, Query(description="Whose secret it is signed with: that of the connection `updraft_events_<sender>`.")],
    webhook_id: Annotated[Sign, Header(min_length=1, max_length=200)],
    webhook_timestamp: Sign,
    webhook_signature: Sign,
) -> Signed:
    """401 for a message that its sender has not signed, or that was signed more than five minutes ago."""
    body = await request.body()
    key, models = await run_in_threadpool(_secret, sender)
    if key is None or not signature.valid(key, webhook_id, webhook_timestamp, body, webhook_signature):
        raise Refusal(status.HTTP_401_UNAUTHORIZED, f"It is not signed with the secret of the connection {CONNECTION}{sender}.")
    if not signature.fresh(webhook_timestamp, time.time()):
        raise Refusal(status.HTTP_401_UNAUTHORIZED, "webhook-timestamp: not signed within the last five minutes, or a clock is wrong.")
    return Signed(sender, webhook_id, models)


@router.post("/events", response_model=EventRow, responses=responses(404, 409, 429, body=True))
def keep_event(request: Request, body: EventBody, by: Annotated[Signed, Depends(signed)], session: SessionDep) -> Any:
    """Keep news of a model's data, once for each `webhook-id` of a sender; the model's lifecycle runs as soon as it may. 200 means that it
    is kept. 409: the same id with another content. 429: 1,000 wait already."""
    if by.models is not None and body.model not in by.models:
        raise Refusal(status.HTTP_403_FORBIDDEN, f"{by.sender} may not tell of {body.model!r}: see `models` in its connection's extra.")
    _insist_wanted(body.model)
    digest = sha256(json.dumps(body.model_dump(), sort_keys=True).encode()).hexdigest()
    try:
        row = events.keep(session, by.id, body.model, by.sender, body.summary, digest, datetime.now(UTC))
    except events.Another:
        raise Refusal(status.HTTP_409_CONFLICT, f"webhook-id: {by.id!r} told of something else before.") from None
    except events.Full:
        raise Refusal(status.HTTP_429_TOO_MANY_REQUESTS, f"{events.MOST_WAITING} events of {body.model!r} wait already.") from None
    session.commit()  # before the answer: whoever is told that it is kept tells it no more
    return EventRow.model_validate(row, strict=False)


@router.get("/events", response_model=list[EventRow], responses=responses(), dependencies=[Depends(may_read), Depends(of_a_named_model)])
def list_events(
    session: SessionDep, model: Annotated[Model | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> Any:
    """News of models' data, the newest first, with what has become of it."""
    query = select(Event).order_by(Event.at.desc(), Event.id).limit(limit)
    rows = session.scalars(query if model is None else query.where(Event.model == model))
    return [EventRow.model_validate(row, strict=False) for row in rows]


@router.get("/began", response_model=BeganRow, responses=responses(404), dependencies=[Depends(may_read), Depends(of_a_named_model)])
def get_began(session: SessionDep, run_key: Annotated[AskedRunKey, Query()]) -> Any:
    """Why a run began: its schedule, a person, an alert, or what told of new data."""
    dag, _, run = run_key.partition("/")
    why = began.of(session, dag, run)
    if why is None:
        raise Refusal(404, f"There is no run {run_key!r}.")
    return BeganRow(run_key=run_key, why=why)


def _insist_wanted(model: str) -> None:
    try:
        spec = load(Settings.load().models / model / "model.yaml")
    except UpdraftError:
        raise Refusal(404, f"There is no model {model!r}.") from None
    if not spec.on.webhook:
        raise Refusal(404, f"The spec of {model} asks for no events: write `on: {{webhook: true}}` in its model.yaml.")


def _secret(sender: str) -> tuple[bytes | None, frozenset[str] | None]:
    """The key of a sender, None where there is none; and the models that it may tell of, None for any."""
    try:
        connection = Connection.get_connection_from_secrets(f"{CONNECTION}{sender}")
        key = signature.key_of(connection.password or "")
    except (AirflowNotFoundException, ValueError):
        return None, None
    models = connection.extra_dejson.get("models")
    return key, None if models is None else frozenset(map(str, models if isinstance(models, list) else [models]))
