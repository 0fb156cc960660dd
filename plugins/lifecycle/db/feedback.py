"""What turned out to be right, in the database: append-only, so that a correction leaves what it corrects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lifecycle.db.models import Feedback

AT_ONCE = 500
"""Ids of one query: SQLite takes 999 values."""


def keep(session: Session, model: str, labels: Mapping[str, Any], author: str, now: datetime) -> tuple[int, int]:
    """Keep labels by id, and return how many are new and how many correct another. One that is there already is not kept again. The
    caller commits."""
    known = _latest(session, model, list(labels))
    new = corrected = 0
    for identity, label in labels.items():
        before = known.get(identity)
        if before is not None and json.dumps(before.label) == json.dumps(label):
            continue
        session.add(Feedback(model=model, prediction=identity, label=label, at=now, author=author))
        new, corrected = new + (before is None), corrected + (before is not None)
    session.flush()
    return new, corrected


def _latest(session: Session, model: str, ids: list[str]) -> dict[str, Feedback]:
    found: dict[str, Feedback] = {}
    for begin in range(0, len(ids), AT_ONCE):
        mine = Feedback.model == model, Feedback.prediction.in_(ids[begin : begin + AT_ONCE])
        newest = select(func.max(Feedback.entry)).where(*mine).group_by(Feedback.prediction)
        found |= {row.prediction: row for row in session.scalars(select(Feedback).where(Feedback.entry.in_(newest)))}
    return found


def history(session: Session, model: str, after: int, limit: int) -> list[Feedback]:
    """Return up to ``limit`` labels of a model behind the number ``after``, in the order in which they came."""
    query = select(Feedback).where(Feedback.model == model, Feedback.entry > after).order_by(Feedback.entry).limit(limit)
    return list(session.scalars(query))
