"""Searches in the database. What a search is bound to, what a trial tries and how it ended are written once: told again, what is there
stays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from include.search.plan import SearchState, Trial
from lifecycle.db import evidence
from lifecycle.db.models import SearchPlan, SearchTrial


class Bound(ValueError):
    """The search is bound to another plan; the message names what differs."""


class Unknown(ValueError):
    """There is no such search."""


def bind(session: Session, run_key: str, model: str, plan: Mapping[str, Any], now: datetime) -> SearchPlan:
    """Keep what the run's search is bound to, or find it. The caller commits. Raises Bound where it is bound to another plan."""
    evidence.lock(session)
    known = session.get(SearchPlan, run_key)
    if known is not None:
        if changed := sorted(name for name in {*known.plan, *plan} if known.plan.get(name) != plan.get(name)):
            raise Bound(", ".join(changed))
        return known
    row = SearchPlan(run_key=run_key, model=model, plan=dict(plan), at=now)
    session.add(row)
    session.flush()
    return row


def trials(session: Session, run_key: str) -> list[SearchTrial]:
    """Return the trials of a run's search by number."""
    return list(session.scalars(select(SearchTrial).where(SearchTrial.run_key == run_key).order_by(SearchTrial.number)))


def keep(session: Session, run_key: str, trial: Trial, now: datetime) -> SearchTrial:
    """Keep a trial that begins, or how one ended; of one that has ended the first word stays. The caller commits.

    Raises Unknown where the run has no search, and Bound where the trial tries something else than before.
    """
    evidence.lock(session)
    if session.get(SearchPlan, run_key) is None:
        raise Unknown(run_key)
    row = session.get(SearchTrial, (run_key, trial.number))
    ended = now if trial.state is not SearchState.RUNNING else None
    if row is None:
        row = SearchTrial(run_key=run_key, **trial.to_json(), at=now, ended=ended)
        session.add(row)
    elif row.params != dict(trial.params):
        raise Bound(f"params of trial {trial.number}")
    elif row.state == SearchState.RUNNING and ended is not None:
        told = trial.to_json()
        row.state, row.value, row.steps = told["state"], told["value"], told["steps"]
        row.message, row.seconds, row.ended = told["message"], told["seconds"], ended
    session.flush()
    return row
