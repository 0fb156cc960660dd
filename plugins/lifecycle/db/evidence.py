"""Appends to the chain of what runs have found and people have done, one entry after another; and reads it. Many may write at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from include.evidence.chain import Head, moment, seal
from lifecycle.db.models import Chain, Look, ServingAct, Verdict

NAME = "evidence"
VERDICT, LOOK, ACT = "verdict", "look", "act"
Json = dict[str, Any]


def keep_verdict(session: Session, author: str, content: Mapping[str, Any]) -> Verdict:
    """Append a verdict. The same as the run's latest of this kind is kept once: a task may be tried again."""
    last = lock(session)
    known = latest(session, content["run_key"], content["kind"])
    if known is not None and _verdict(known) == content:
        return known
    row = Verdict(**content, **_sealed(session, last, VERDICT, content, author))
    session.add(row)
    session.flush()
    return row


def keep_look(session: Session, author: str, content: Mapping[str, Any]) -> Look:
    """Append a look. One that is there already stays as it is: what the judge has seen is never rewritten.

    Raises ValueError for a look that does not follow the run's last one.
    """
    last = lock(session)
    mine = select(Look).where(Look.run_key == content["run_key"])
    known = session.scalar(mine.where(Look.number == content["number"]))
    if known is not None:
        return known
    before = session.scalar(mine.order_by(Look.number.desc()).limit(1))
    expected = 0 if before is None else before.number + 1
    if content["number"] != expected:
        raise ValueError(f"the run's next look is number {expected}")
    row = Look(**content, **_sealed(session, last, LOOK, content, author))
    session.add(row)
    session.flush()
    return row


def keep_act(session: Session, author: str, content: Mapping[str, Any]) -> ServingAct:
    """Append a change of what serves: ``model``, ``version``, ``act``, ``why``, ``body``. The caller commits."""
    row = ServingAct(**content, **_sealed(session, lock(session), ACT, content, author))
    session.add(row)
    session.flush()
    return row


def latest(session: Session, run_key: str, kind: str) -> Verdict | None:
    """The verdict of this kind that counts."""
    query = select(Verdict).where(Verdict.run_key == run_key, Verdict.kind == kind)
    return session.scalar(query.order_by(Verdict.entry.desc()).limit(1))


def history(session: Session, after: int, limit: int) -> tuple[list[Json], Head]:
    """Up to ``limit`` entries behind the number ``after``, in order, and the chain's end."""
    found = session.get(Chain, NAME)
    verdicts = session.scalars(select(Verdict).where(Verdict.entry > after).order_by(Verdict.entry).limit(limit))
    looks = session.scalars(select(Look).where(Look.entry > after).order_by(Look.entry).limit(limit))
    acts = session.scalars(select(ServingAct).where(ServingAct.entry > after).order_by(ServingAct.entry).limit(limit))
    rows: list[tuple[Verdict | Look | ServingAct, str, Json]] = [(row, VERDICT, _verdict(row)) for row in verdicts]
    rows += [(row, LOOK, _look(row)) for row in looks]
    rows += [(row, ACT, _act(row)) for row in acts]
    rows.sort(key=lambda part: part[0].entry)
    entries = [_entry(row, kind, content) for row, kind, content in rows[:limit]]
    return entries, Head(found.number, found.hash) if found else Head()


def _entry(row: Verdict | Look | ServingAct, kind: str, content: Json) -> Json:
    facts = {"number": row.entry, "kind": kind, "content": content, "author": row.author, "at": moment(row.at)}
    return facts | {"previous": row.previous, "hash": row.hash}


def _verdict(row: Verdict) -> Json:
    return {name: getattr(row, name) for name in ("run_key", "kind", "model", "version", "decision", "body")}


def _look(row: Look) -> Json:
    return {name: getattr(row, name) for name in ("run_key", "number", "body")}


def _act(row: ServingAct) -> Json:
    return {name: getattr(row, name) for name in ("model", "version", "act", "why", "body")}


def lock(session: Session) -> Head:
    """The chain's end; it is this transaction's alone until that ends."""
    # A write first: on SQLite a transaction that has only read can't become the writer while another one is.
    session.execute(update(Chain).where(Chain.name == NAME).values(number=Chain.number))
    found = session.get(Chain, NAME, populate_existing=True)
    if found is None:
        found = Chain(name=NAME, number=0, hash=Head().hash)
        session.add(found)
        session.flush()
    return Head(found.number, found.hash)


def _sealed(session: Session, last: Head, kind: str, content: Mapping[str, Any], author: str) -> Json:
    number, at = last.number + 1, datetime.now(UTC)
    digest = seal(number, kind, content, author, at, last.hash)
    session.execute(update(Chain).where(Chain.name == NAME).values(number=number, hash=digest))
    return {"entry": number, "at": at, "author": author, "previous": last.hash, "hash": digest}
