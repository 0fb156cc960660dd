"""Who did what: acts that are recorded here, in the chain of hashes, and those that others keep, in one list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import desc, select
from sqlalchemy.orm import Session

from gpu_pool.db.store import EVENT
from include.acts import outbox
from include.acts.audit import KIND, NAME, AuditLine, Wanted, chosen, detail_of
from include.cost.gpu_use import work_of
from include.evidence.chain import moment
from lifecycle.db import evidence
from lifecycle.db.models import Act, Hold, ServingAct, TrialOrder

MOST_READ = 20_000
"""So many of each table are looked through, the newest."""
POOL_KINDS = {"quota": "quota", "cordoned": "node", "uncordoned": "node", "removed": "node", "forced": "lease"}
"""Events of the GPU pool that people bring about, and what they are done to."""
DETAIL, NOTED, NOTED_AT_ONCE = "detail", "noted", 1000
RESPONDER = "updraft"
"""Who does what alerts ask for."""


def record(
    session: Session,
    who: str,
    act: str,
    kind: str,
    name: str,
    why: str = "",
    detail: Mapping[str, Any] | None = None,
    **more: str,
) -> ServingAct:
    """Append to the chain that ``who`` did ``act`` to the ``kind`` of this name, because of ``why``. The caller commits.

    ``detail``: what was changed; ``more``: fields of its own of the chain's form (``month``, ``noted``).
    """
    body = {KIND: kind, NAME: name} | ({DETAIL: json.dumps(detail, sort_keys=True)} if detail else {}) | more
    content = {"model": name if kind == "model" else "", "version": None, "act": act, "why": why, "body": body}
    return evidence.keep_act(session, who, content)


def take_noted(session: Session, path: Path) -> list[str]:
    """Append what the command line has noted to the chain, each act once; return the ids of what is there. The caller commits."""
    noted = outbox.read(path)
    if noted:
        query = select(ServingAct.body).order_by(ServingAct.entry.desc()).limit(NOTED_AT_ONCE)
        known = {body.get(NOTED) for body in session.scalars(query)}  # of a responder that was killed before it dropped them
        session.rollback()  # what has only read cannot become SQLite's writer
        for one in noted:
            if one.id not in known:
                record(session, one.who, one.act[:16], one.kind, one.name, "", one.detail, **{NOTED: one.id})
    return [one.id for one in noted]


def lines(session: Session, wanted: Wanted, limit: int, theirs: Callable[[AuditLine], bool] | bool = True) -> list[AuditLine]:
    """Return what was done, the newest first; ``theirs``: what the caller may see of it, True for all."""
    every = (line for part in (_chained, _alerts, _holds, _orders, _pool) for line in part(session))
    return chosen((line for line in every if theirs is True or (callable(theirs) and theirs(line))), wanted, limit)


def _chained(session: Session) -> Iterator[AuditLine]:
    for row in session.scalars(select(ServingAct).order_by(ServingAct.entry.desc()).limit(MOST_READ)):
        kind, name = row.body.get(KIND, "model"), row.body.get(NAME, row.model)
        told = row.body.get(DETAIL, "") if KIND in row.body else detail_of(row.body | _version(row.version))
        yield AuditLine(moment(row.at), row.author, row.act, kind, name, row.why, row.entry, told)


def _version(version: int | None) -> dict[str, int]:
    return {} if version is None else {"version": version}


def _alerts(session: Session) -> Iterator[AuditLine]:
    for row in session.scalars(select(Act).order_by(Act.at.desc()).limit(MOST_READ)):
        why = f"{row.name}: {row.summary} {row.reason}".strip()
        yield AuditLine(moment(row.at), RESPONDER, f"{row.act} {row.state.lower()}", "alert", row.model, why, None, row.run_key)


def _holds(session: Session) -> Iterator[AuditLine]:
    for row in session.scalars(select(Hold).order_by(Hold.entry.desc()).limit(MOST_READ)):
        yield AuditLine(moment(row.at), row.who, "hold set" if row.held else "hold lifted", "model", row.model, row.why)


def _orders(session: Session) -> Iterator[AuditLine]:
    for row in session.scalars(select(TrialOrder).order_by(TrialOrder.entry.desc()).limit(MOST_READ)):
        model = work_of(f"{row.run_key}/-/-").model
        yield AuditLine(moment(row.at), row.who, f"trial: {row.order}", "model", model, row.why, None, row.run_key)


def _pool(session: Session) -> Iterator[AuditLine]:
    query = select(EVENT.c.at, EVENT.c.kind, EVENT.c.text, EVENT.c.node, EVENT.c.body).where(EVENT.c.kind.in_(POOL_KINDS))
    for at, kind, text, node, body in session.execute(query.order_by(desc(EVENT.c.id)).limit(MOST_READ)):
        if who := body.get("by"):
            when, act = moment(datetime.fromtimestamp(at, UTC)), "quota set" if kind == "quota" else kind
            yield AuditLine(when, who, act, POOL_KINDS[kind], node or body.get("about", ""), text)
