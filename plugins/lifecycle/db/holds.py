"""Who has stopped what alerts and the watch do to a model, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lifecycle.db.models import Hold


def set_hold(session: Session, model: str, held: bool, who: str, why: str, now: datetime) -> Hold:
    """Append that the model is held, or no longer. The caller commits."""
    row = Hold(model=model, held=held, who=who, why=why, at=now)
    session.add(row)
    session.flush()
    return row


def current(session: Session, models: Sequence[str] | None = None) -> dict[str, Hold]:
    """Return the hold of each model that is held now, of all or of these."""
    newest = select(func.max(Hold.entry)).group_by(Hold.model)
    query = select(Hold).where(Hold.entry.in_(newest), Hold.held)
    if models is not None:
        query = query.where(Hold.model.in_(models))
    return {row.model: row for row in session.scalars(query)}
