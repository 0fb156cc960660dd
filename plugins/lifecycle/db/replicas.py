"""How many servers models shall have, and what is known of each server of a revision that has several."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from include.reconcile.facts import Effort
from lifecycle.db.models import Replica, Scale

Key = tuple[str, int]
At = tuple[str, int, int]
"""A server: model, version, number."""


def scale(session: Session, model: str, replicas: int, who: str, why: str, now: datetime) -> None:
    """Write down how many servers a model shall have. The caller commits."""
    row = session.get(Scale, model)
    if row is None:
        row = Scale(model=model)
        session.add(row)
    row.replicas, row.who, row.why, row.at = replicas, who, why, now
    session.flush()


def scales(session: Session) -> dict[str, Scale]:
    """Return what was said of each model, by name; models of which nothing was said are absent."""
    return {row.model: row for row in session.scalars(select(Scale))}


def replicas(session: Session, model: str | None = None) -> dict[At, Replica]:
    """Return what is known of servers of revisions that have several."""
    query = select(Replica).order_by(Replica.model, Replica.version, Replica.number)
    found = session.scalars(query if model is None else query.where(Replica.model == model))
    return {(row.model, row.version, row.number): row for row in found}


@dataclass(frozen=True)
class Known:
    """A row of a server, apart from its database: see :class:`lifecycle.db.models.Replica`."""

    state: str
    message: str
    endpoint: str
    up: bool
    waits: bool
    note: str
    tries: int
    due_s: float
    done: int

    @property
    def effort(self) -> Effort:
        """What was tried for the server, as the deciding code reads it."""
        return Effort(self.tries, self.due_s, self.done)


def known(session: Session) -> dict[At, Known]:
    """Return what is known of every server, apart from the database."""
    names = [one.name for one in fields(Known)]
    return {at: Known(**{name: getattr(row, name) for name in names}) for at, row in replicas(session).items()}


def keep(session: Session, at: At, known: Mapping[str, Any], now: datetime) -> None:
    """Keep what is new of a server; unchanged, nothing is written."""
    row = session.get(Replica, at)
    if row is None:
        row = Replica(model=at[0], version=at[1], number=at[2], updated_at=now)
        session.add(row)
    changed = {name: value for name, value in known.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.updated_at = now
    session.flush()


def tried(session: Session, at: At, **known: Any) -> None:
    """Keep what became of a deed for a server that is still known."""
    same = update(Replica).where(Replica.model == at[0], Replica.version == at[1], Replica.number == at[2])
    session.execute(same.values(**known))


def forget(session: Session, gone: Collection[At]) -> None:
    """Know nothing of these servers any more."""
    for model, version, number in gone:
        session.execute(delete(Replica).where(Replica.model == model, Replica.version == version, Replica.number == number))
