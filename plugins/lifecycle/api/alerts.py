"""Where Alertmanager tells of alerts, and where they are read.

It sends a group at a time, again when an answer was lost, and drops for good what is refused with a 4xx: so it is answered with 200 once
all is in the database, whatever labels an alert has or lacks.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.configuration import conf
from fastapi import APIRouter, Depends, Query, Request, status
from pydantic import BaseModel, Field
from sqlalchemy import select

from api_shared.auth import may_read
from api_shared.problems import Refusal, responses
from api_shared.teams import of_a_named_model
from lifecycle.api.fields import Body, Count, Line, Model
from lifecycle.db import alerts
from lifecycle.db.alerts import Told
from lifecycle.db.models import Alert

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])
MOST_BYTES = 4 * 1024 * 1024
MOST_ALERTS = 2000
NEVER = 1900
"""Alertmanager's word for an end that has not come is the year 1."""
Labels = dict[Annotated[str, Field(max_length=255)], Annotated[str, Field(max_length=4000)]]


class SentAlert(BaseModel):
    """An alert of a message; what else Alertmanager tells of it is not looked at."""

    status: Literal["firing", "resolved"]
    labels: Annotated[Labels, Field(max_length=100)]
    annotations: Annotated[Labels, Field(max_length=100, default_factory=dict)]
    startsAt: datetime
    endsAt: datetime | None = None
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]


class MessageBody(BaseModel):
    """A group of alerts, version 4 of Alertmanager's webhook. ``truncatedAlerts``: so many more there were than it sends."""

    version: Literal["4"]
    truncatedAlerts: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    alerts: Annotated[list[SentAlert], Field(max_length=MOST_ALERTS)]


class StoredRow(Body):
    """What became of a message: how many of its alerts were told of before, and how many were cut off."""

    alerts: Count
    new: Count
    cut_off: Count


class AlertRow(Body):
    """An alert; ``ends_at`` is null while it fires, ``model`` empty for one of the platform itself."""

    fingerprint: Line
    name: Line
    model: Line
    severity: Line
    summary: Line
    starts_at: datetime
    ends_at: datetime | None


def may_tell(request: Request) -> None:
    """401 for whoever does not show the token that `make up` has given Alertmanager."""
    wanted = str(conf.get("lifecycle", "alerts_token_sha256", fallback=""))
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    hashed = sha256(shown.encode("latin-1", "replace")).hexdigest()
    if not wanted or scheme.lower() != "bearer" or not hmac.compare_digest(hashed, wanted):
        raise Refusal(status.HTTP_401_UNAUTHORIZED, "Alerts are told of with Alertmanager's own token.")


@router.post("", response_model=StoredRow, responses=responses(body=True), dependencies=[Depends(may_tell)])
def keep_alerts(body: MessageBody, session: SessionDep) -> Any:
    """Keep the alerts of a message: once each, by fingerprint and start; ended ones stay ended. 200 means that all are kept."""
    new = alerts.keep(session, [_told(one) for one in body.alerts], datetime.now(UTC))
    session.commit()  # before the answer: whoever is told that it is kept tells it no more
    return StoredRow(alerts=len(body.alerts), new=new, cut_off=body.truncatedAlerts)


@router.get("", response_model=list[AlertRow], responses=responses(), dependencies=[Depends(may_read), Depends(of_a_named_model)])
def list_alerts(
    session: SessionDep,
    model: Annotated[Model | None, Query()] = None,
    firing: Annotated[bool, Query(description="Only what fires now.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Any:
    """Alerts, those told of last first."""
    query = select(Alert).order_by(Alert.at.desc(), Alert.fingerprint, Alert.starts_at).limit(limit)
    if model is not None:
        query = query.where(Alert.model == model)
    if firing:
        query = query.where(Alert.ends_at.is_(None))
    return [AlertRow.model_validate(row, strict=False) for row in session.scalars(query)]


def _told(sent: SentAlert) -> Told:
    ends = sent.endsAt if sent.status == "resolved" and sent.endsAt and sent.endsAt.year > NEVER else None
    return Told(
        fingerprint=sent.fingerprint,
        starts_at=_utc(sent.startsAt),
        name=_kept(sent.labels.get("alertname", ""), 255),
        model=_kept(sent.labels.get("model", ""), 64),
        severity=_kept(sent.labels.get("severity", ""), 16),
        summary=_kept(sent.annotations.get("summary", ""), 1000),
        labels={_kept(name, 255): _kept(value, 4000) for name, value in sent.labels.items()},
        ends_at=_utc(ends or sent.startsAt) if sent.status == "resolved" else None,
    )


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _kept(text: str, most: int) -> str:
    """Databases take no NUL."""
    return text.replace("\x00", "")[:most]
