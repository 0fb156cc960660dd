"""Alerts in the database: each kept once, whatever the order in which it is told of and however often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from lifecycle.db.models import Alert

KEPT = timedelta(days=90)
"""What has ended is kept so long after it was last told of."""
AT_ONCE = 200
"""Rows of one query: SQLite takes 999 values."""


@dataclass(frozen=True)
class Told:
    """One alert as it was told of. ``ends_at`` is None while it fires."""

    fingerprint: str
    starts_at: datetime
    name: str
    model: str
    severity: str
    summary: str
    labels: dict[str, str]
    ends_at: datetime | None


def keep(session: Session, told: Sequence[Told], now: datetime) -> int:
    """Keep what is new in it, and return how many alerts that were. The caller commits.

    One that has ended stays so: an older message that comes later, or again, opens nothing.
    """
    newest: dict[tuple[str, datetime], Told] = {}
    for one in told:
        key = one.fingerprint, one.starts_at
        if key not in newest or newest[key].ends_at is None:
            newest[key] = one
    changed = 0
    keys = list(newest)
    for begin in range(0, len(keys), AT_ONCE):
        part = keys[begin : begin + AT_ONCE]
        query = select(Alert).where(tuple_(Alert.fingerprint, Alert.starts_at).in_(part))
        known = {(row.fingerprint, row.starts_at): row for row in session.scalars(query)}
        for key in part:
            one, row = newest[key], known.get(key)
            if row is None:
                session.add(Alert(**asdict(one), at=now))
                changed += 1
            elif row.ends_at is None and one.ends_at is not None:
                row.ends_at, row.at = one.ends_at, now
                changed += 1
    session.execute(delete(Alert).where(Alert.ends_at.is_not(None), Alert.at < now - KEPT))
    session.flush()
    return changed
