"""What shall serve, in the database: what is wanted of each revision, what the reconciler has done for it, and the acts that changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from include.reconcile import facts
from include.reconcile.facts import Effort, Plan, Wanted
from lifecycle.db import evidence
from lifecycle.db.models import Desired, Revision, ServingAct

LIFECYCLE = "updraft"
"""Who wants what a run of a lifecycle has deployed."""
Key = tuple[str, int]


def want(session: Session, key: Key, wanted: Wanted, who: str, why: str, now: datetime, *, again: bool = False) -> Desired:
    """Write down what is wanted of a revision; ``again``: its server is to be started anew. What was tried before counts no more.

    The caller commits.
    """
    row = session.get(Desired, key)
    if row is None:
        row = Desired(model=key[0], version=key[1], generation=0, done=0, step="", reason="")
        session.add(row)
    row.wanted, row.who, row.why, row.at = wanted.value, who, why, now
    row.generation = (row.generation or 0) + int(again)
    row.tries, row.due_s = 0, 0.0
    session.flush()
    return row


def deployed(session: Session, key: Key, state: str, now: datetime) -> None:
    """Take over what a run of a lifecycle has done to a revision: one that it starts shall run, one that it ended shall be gone.

    A revision that is ready is only told of: a person may have stopped it meanwhile.
    """
    if state == "STARTING" or (state == "RUNNING" and session.get(Desired, key) is None):
        want(session, key, Wanted.RUNNING, LIFECYCLE, "A run has deployed it.", now)
    elif state in ("STOPPING", "STOPPED", "ERROR"):
        session.execute(delete(Desired).where(Desired.model == key[0], Desired.version == key[1]))


def wanted(session: Session, model: str | None = None) -> dict[Key, Desired]:
    """Return what is wanted of every revision, or of a model's."""
    query = select(Desired) if model is None else select(Desired).where(Desired.model == model)
    return {(row.model, row.version): row for row in session.scalars(query)}


def desired(row: Desired) -> facts.Desired:
    """Return what is wanted, as the deciding code reads it."""
    return facts.Desired(Wanted(row.wanted), row.generation, row.who, row.why)


def effort(row: Desired) -> Effort:
    """Return what was done so far, as the deciding code reads it."""
    return Effort(row.tries, row.due_s, row.done)


def note(session: Session, key: Key, generation: int, plan: Plan, made: Effort) -> bool:
    """Keep the reconciler's plan and what it has tried; False when somebody has wanted something else meanwhile: nothing is kept then."""
    query = update(Desired).where(Desired.model == key[0], Desired.version == key[1], Desired.generation == generation)
    values = {"step": plan.step.value, "reason": plan.reason[:4000], "tries": made.tries, "due_s": made.due_s, "done": made.done}
    return bool(session.execute(query.values(**values)).rowcount)  # type: ignore[attr-defined]


def rolled(session: Session, key: Key, generation: int) -> None:
    """The first server was restarted for that generation, in its turn."""
    session.execute(update(Desired).where(Desired.model == key[0], Desired.version == key[1]).values(done=generation))


def forget(session: Session, key: Key) -> None:
    """Want nothing of a revision any more: it was deleted, and is gone."""
    session.execute(delete(Desired).where(Desired.model == key[0], Desired.version == key[1], Desired.wanted == Wanted.ABSENT.value))


def note_state(session: Session, key: Key, state: str, message: str, now: datetime, known: Mapping[str, str]) -> None:
    """Keep what state a revision was seen in; unchanged, nothing is written. ``known``: its
    target, backend and endpoint."""
    row = session.get(Revision, key)
    if row is None:
        found = {"target": "process", "backend": "triton", "endpoint": ""} | dict(known)
        session.add(Revision(model=key[0], version=key[1], state=state, message=message[:4000], updated_at=now, **found))
        return
    if (row.state, row.message) != (state, message[:4000]):
        row.state, row.message, row.updated_at = state, message[:4000], now
    for name, value in known.items():
        if getattr(row, name) != value:
            setattr(row, name, value)


def act(session: Session, who: str, what: str, key: tuple[str, int | None], why: str, **body: Any) -> ServingAct:
    """Append a change of what serves to the chain: who did what to which revision (None: to the model), and why. The caller commits."""
    content = {"model": key[0], "version": key[1], "act": what, "why": why, "body": body}
    return evidence.keep_act(session, who, content)


def acts(session: Session, model: str | None, limit: int) -> Sequence[ServingAct]:
    """Return acts, the newest first."""
    query = select(ServingAct).where(ServingAct.model != "").order_by(ServingAct.entry.desc()).limit(limit)
    return list(session.scalars(query if model is None else query.where(ServingAct.model == model)))


def revisions(session: Session, model: str | None = None) -> dict[Key, Revision]:
    """Return every revision that was ever told of, or a model's, with the state that it was seen in last."""
    query = select(Revision).order_by(Revision.model, Revision.version.desc())
    found = session.scalars(query if model is None else query.where(Revision.model == model))
    return {(row.model, row.version): row for row in found}
