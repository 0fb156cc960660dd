"""The row by which one process at a time reconciles, over all machines: read, taken and renewed by compare-and-set."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from include.reconcile.owner import Beat, Claim, Watched, claim
from lifecycle.db.models import Owner

NAME = "reconcile"


def hold(session: Session, me: str, known: Watched, now_s: float, at: datetime) -> tuple[bool, Watched]:
    """Return whether ``me`` may act until its next call, and what it knows from now on. Commits. ``now_s``: its own clock."""
    row = session.get(Owner, NAME)
    seen = Beat(row.holder, row.beat) if row else None
    session.rollback()  # what has only read can't become SQLite's writer
    wish, known = claim(me, seen, known, now_s)
    if wish is Claim.WATCH:
        return False, known
    if seen is None:
        return _first(session, me, known, now_s, at)
    mine = seen.beat + 1
    same = update(Owner).where(Owner.name == NAME, Owner.holder == seen.holder, Owner.beat == seen.beat)
    moved = session.execute(same.values(holder=me, beat=mine, at=at)).rowcount  # type: ignore[attr-defined]
    session.commit()
    if not moved:  # another was faster
        return False, replace(known, mine=None)
    return True, Watched(Beat(me, mine), now_s, mine)


def _first(session: Session, me: str, known: Watched, now_s: float, at: datetime) -> tuple[bool, Watched]:
    try:
        session.add(Owner(name=NAME, holder=me, beat=1, at=at))
        session.commit()
    except IntegrityError:
        session.rollback()
        return False, known
    return True, Watched(Beat(me, 1), now_s, 1)
