"""What people have trials under way do: pause, resume, promote, end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from include.canary.orders import Order
from lifecycle.db.models import TrialOrder


def give(session: Session, run_key: str, order: Order, who: str, why: str, now: datetime) -> TrialOrder:
    """Append an order. The caller commits."""
    row = TrialOrder(run_key=run_key, order=order.value, who=who, why=why, at=now)
    session.add(row)
    session.flush()
    return row


def of(session: Session, run_key: str) -> list[TrialOrder]:
    """Return the orders of a run's trial, in order."""
    return list(session.scalars(select(TrialOrder).where(TrialOrder.run_key == run_key).order_by(TrialOrder.entry)))


def latest(session: Session, run_keys: Sequence[str]) -> dict[str, TrialOrder]:
    """Return the order that counts of each of these runs that has one."""
    newest = select(func.max(TrialOrder.entry)).where(TrialOrder.run_key.in_(run_keys)).group_by(TrialOrder.run_key)
    return {row.run_key: row for row in session.scalars(select(TrialOrder).where(TrialOrder.entry.in_(newest)))}
