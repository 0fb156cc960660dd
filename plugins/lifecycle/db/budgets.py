"""How far budgets are used, out of the count of tokens and the pool's table; and the moment at which one is nearly, or wholly, used up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from gpu_pool.db.uses import between
from include.budgets.ledger import used
from include.budgets.status import Level, Status, statuses
from include.cost.gpu_budget import hours_of
from include.cost.month import Month
from include.gateway import budgets
from include.runtime.settings import Settings
from lifecycle.db import audit
from lifecycle.db.models import ServingAct

ACTS = {Level.WARNED: "budget warned", Level.USED_UP: "budget used up"}
"""Acts by which the chain tells that a budget came to a level."""
PLATFORM = "updraft"


def now(session: Session, settings: Settings, month: Month, at: float) -> list[Status]:
    """Return how far each budget is used in a month. Raises InputError or ComponentError for a file that can't be read."""
    known = budgets.read(settings.budgets).values()
    if not known:
        return []
    spent, held = used(settings.budget_ledger, str(month))
    return statuses(known, spent, held, hours_of(between(session, month.begin, month.end), month, at))


def note_levels(session: Session, settings: Settings, at: float) -> Sequence[Status]:
    """Append to the chain each budget that has come to a level, once a month and level; return those. The caller commits."""
    month, made = Month.of(at), []
    reached = [one for one in now(session, settings, month, at) if one.level is not Level.FINE]
    session.rollback()  # what has only read cannot become SQLite's writer
    if not reached:
        return []
    query = select(ServingAct.act, ServingAct.body).where(ServingAct.act.in_(ACTS.values())).order_by(ServingAct.entry.desc())
    known = {(act, body.get("name"), body.get("month")) for act, body in session.execute(query.limit(10_000))}
    session.rollback()
    for one in reached:
        # One that was raised, or lowered, is told of anew.
        act, name, told = ACTS[one.level], " ".join(one.budget.of), f"{month} {one.budget.tokens} {one.budget.gpu_hours}"
        if (act, name, told) not in known:
            audit.record(session, PLATFORM, act, "budget", name, one.said(), month=told)
            made.append(one)
    return made
