"""News of models' data in the database: each kept once, and told to Airflow once, as an update of the model's asset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from airflow.assets.manager import asset_manager
from airflow.models.asset import AssetModel, DagScheduleAssetReference
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from include.events.why import EXTRA
from include.spec.schema import Spec
from lifecycle.db import evidence, holds
from lifecycle.db.models import Event
from lifecycle.schedule import data_asset

WEBHOOK, FILE = "webhook", "file"
SEEN, WAITING, TOLD, DROPPED = "SEEN", "WAITING", "TOLD", "DROPPED"
UNDER_WAY = ("queued", "running")
KEPT = timedelta(days=90)
UNREAD = timedelta(days=7)
"""News of a model whose spec can't be read waits so long after the last of it."""
MOST_WAITING = 1000
"""Of one model: whoever sends more is refused."""
SHOWN = 20
"""Events that an asset's update names; the others are counted."""


class Another(ValueError):
    """An event of the same id and another content."""


class Full(ValueError):
    """Too many events wait already."""


def keep(session: Session, event_id: str, model: str, sender: str, summary: str, digest: str, now: datetime) -> Event:
    """Keep what a webhook has told; told again, it is the one that is kept. The caller commits. Raises Another, Full."""
    evidence.lock(session)
    name = sha256(f"{WEBHOOK}\n{sender}\n{event_id}".encode()).hexdigest()
    known = session.get(Event, name)
    if known is not None:
        if known.digest != digest:
            raise Another(event_id)
        return known
    waiting = select(func.count()).where(Event.model == model, Event.state == WAITING)
    if (session.scalar(waiting) or 0) >= MOST_WAITING:
        raise Full(model)
    row = Event(id=name, model=model, kind=WEBHOOK, sender=sender, summary=summary, digest=digest, state=WAITING, at=now)
    session.add(row)
    session.execute(delete(Event).where(Event.kind == WEBHOOK, Event.state.in_((TOLD, DROPPED)), Event.at < now - KEPT))
    session.flush()
    return row


def files(session: Session, model: str) -> Event | None:
    """Return how a model's files of data were when they were last looked at; None for never."""
    query = select(Event).where(Event.model == model, Event.kind == FILE)
    return session.scalar(query.order_by(Event.at.desc(), Event.id).limit(1))


def files_are(session: Session, model: str, digest: str, summary: str, now: datetime) -> Event | None:
    """Keep that a model's files of data are these: news, unless it is the first look at them. Returns it; None where nothing has changed.

    The caller commits. Of earlier states nothing is kept that Airflow was told of.
    """
    evidence.lock(session)
    before = files(session, model)
    if before is not None and before.digest == digest:
        return None
    name = sha256(f"{FILE}\n{model}\n{before.id if before else ''}\n{digest}".encode()).hexdigest()
    state = WAITING if before is not None else SEEN
    row = Event(id=name, model=model, kind=FILE, sender="", summary=summary, digest=digest, state=state, at=now)
    session.execute(delete(Event).where(Event.model == model, Event.kind == FILE, Event.state != WAITING, Event.at < now - KEPT))
    session.add(row)
    session.flush()
    return row


def tell(session: Session, specs: Mapping[str, Spec], now: datetime) -> list[str]:
    """Update the asset of each model of which there is news, and return a sentence a model. The caller commits: all of it or nothing.

    News waits while a run of the model's lifecycle is under way (many become one run), while the DAG is paused (Airflow would lose it),
    while a person holds the model, and until Airflow knows the asset.
    """
    if not session.scalar(select(func.count()).where(Event.state == WAITING)):
        return []
    evidence.lock(session)
    news: dict[str, list[Event]] = {}
    for row in session.scalars(select(Event).where(Event.state == WAITING).order_by(Event.at, Event.id)):
        news.setdefault(row.model, []).append(row)
    return [said for model, rows in news.items() if (said := _tell(session, specs.get(model), model, rows, now))]


def _tell(session: Session, spec: Spec | None, model: str, rows: list[Event], now: datetime) -> str:
    if spec is None and now - rows[-1].at < UNREAD:
        return ""  # a spec that is broken now may ask for them when it is mended
    if spec is None or not spec.on.anything:
        for row in rows:
            row.state = DROPPED
        return f"{model}: {len(rows)} event(s) are dropped: its spec {'asks for none' if spec else 'is gone, or broken for long'}."
    asset = _asset(session, model) if not holds.current(session, [model]) else None
    if asset is None:
        return ""
    asset_manager.register_asset_change(asset=asset, extra={EXTRA: _named(rows)}, session=session)
    for row in rows:
        row.state = TOLD
    return f"{model}: {len(rows)} event(s) start {model}_lifecycle: {rows[-1].summary}"


def _asset(session: Session, model: str) -> AssetModel | None:
    """The model's asset, if an update of it would start a run now, and no run is under way."""
    dag, asset = f"{model}_lifecycle", data_asset(model)
    if session.scalar(select(func.count()).where(DagRun.dag_id == dag, DagRun.state.in_(UNDER_WAY))):
        return None
    query = select(AssetModel).join(DagScheduleAssetReference, DagScheduleAssetReference.asset_id == AssetModel.id)
    query = query.join(DagModel, DagModel.dag_id == DagScheduleAssetReference.dag_id)
    ours = (AssetModel.name == asset.name, AssetModel.uri == asset.uri, DagModel.dag_id == dag)
    return session.scalar(query.where(*ours, DagModel.is_paused.is_(False), DagModel.is_stale.is_(False)))


def _named(rows: Iterable[Event]) -> list[dict[str, Any]]:
    rows = list(rows)
    found: list[dict[str, Any]] = [{"id": row.id, "kind": row.kind, "sender": row.sender, "summary": row.summary} for row in rows[-SHOWN:]]
    return [*found, {"kind": "more", "summary": f"{len(rows) - SHOWN} more"}] if len(rows) > SHOWN else found
