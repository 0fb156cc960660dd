"""What alerts and verdicts bring about, in the database: each act decided once, whoever looks at the same time and however often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from include.acts import rules
from include.acts.rules import Cause, Production
from include.replicas.number import Bounds, number_for
from include.replicas.schedule import bounds_of
from include.spec.schema import Act as Kind
from include.spec.schema import Spec
from lifecycle.db import evidence, holds
from lifecycle.db.models import Act, Alert, Scale, Verdict

PLANNED, BEGUN, REFUSED, NOTIFIED = "PLANNED", "BEGUN", "REFUSED", "NOTIFIED"
FRESH = timedelta(hours=1)
"""An older verdict brings nothing about: it has no end, as an alert has."""
KEPT = timedelta(days=90)
HARM = {"watch": ("FAIL", "ALARM"), "drift": ("ALARM",)}
"""Verdicts that have found harm, by kind, on which nothing was done."""
BUSY = ("queued", "running")
AT_ONCE = 200
"""Keys of one query: SQLite takes 999 values."""


@dataclass(frozen=True)
class Aliases:
    """What MLflow says of a model: its champion, the version before, and whether a version is on trial."""

    champion: int | None
    previous: int | None
    on_trial: bool


def causes(session: Session, specs: Mapping[str, Spec], now: datetime, again: bool = False) -> list[tuple[Cause, Kind]]:
    """Return what asks for an act and has none yet, the oldest first: alerts that fire, and verdicts that have found harm.

    ``again``: those as well whose act was refused for what stood in its way then; not those whose run Airflow refused.
    """
    wanted = {name: spec.monitor.on_alert for name, spec in specs.items() if spec.monitor.on_alert}
    if not wanted:
        return []
    alerts = select(Alert).where(Alert.ends_at.is_(None), Alert.model.in_(wanted)).order_by(Alert.starts_at, Alert.fingerprint)
    found = [
        Cause(f"alert/{row.fingerprint}/{row.starts_at.isoformat()}", row.model, row.name, row.severity, row.summary)
        for row in session.scalars(alerts)
    ]
    verdicts = select(Verdict).where(Verdict.kind.in_(HARM), Verdict.at > now - FRESH, Verdict.model.in_(wanted)).order_by(Verdict.entry)
    for verdict in session.scalars(verdicts):
        if verdict.decision in HARM[verdict.kind]:
            said = " ".join(verdict.body.get("reasons", []))[:1000]
            found.append(Cause(f"verdict/{verdict.entry}", verdict.model, verdict.kind, "", said))
    asked = [(cause, act) for cause in found if (act := rules.asked(wanted[cause.model], cause)) is not None]
    ids = [rules.act_id(*one) for one in asked]
    known: set[str] = set()
    for begin in range(0, len(ids), AT_ONCE):
        query = select(Act.id).where(Act.id.in_(ids[begin : begin + AT_ONCE]))
        known |= set(session.scalars(query.where(or_(Act.state != REFUSED, Act.run_key != "")) if again else query))
    return [one for one, name in zip(asked, ids, strict=True) if name not in known]


def decide(
    session: Session, specs: Mapping[str, Spec], aliases: Callable[[str], Aliases | None], now: datetime, again: bool = False
) -> list[Act]:
    """Record an act for each cause that has none: to be done, or refused and why. Returns what was recorded; the caller commits.

    ``again``: one that was refused, and whose cause still holds, is to be done once nothing stands in its way any more.

    ``aliases`` returns None for a model of which MLflow says nothing now: its causes wait.
    """
    asking = causes(session, specs, now, again)
    session.rollback()  # what has only read cannot become SQLite's writer; and nobody waits for MLflow's answers
    if not asking:
        return []
    said = {model: aliases(model) for model in sorted({cause.model for cause, _ in asking})}
    evidence.lock(session)
    made: list[Act] = []
    known: dict[str, Production | None] = {}
    for cause, act in causes(session, specs, now, again):
        if cause.model not in known:
            found = said.get(cause.model)
            known[cause.model] = production(session, cause.model, found, specs[cause.model]) if found else None
        if (state := known[cause.model]) is None:
            continue
        row = _row(cause, act, specs[cause.model], state, now)
        if row.state == REFUSED and again and session.get(Act, row.id) is not None:
            continue
        made.append(session.merge(row))
        if row.state == PLANNED:  # the next of the same storm finds it under way
            known[cause.model] = _with(state, row)
    session.execute(delete(Act).where(Act.at < now - KEPT))
    session.flush()
    return made


def _with(state: Production, row: Act) -> Production:
    """What is known of a model once an act is planned."""
    if row.act == Kind.SCALE:
        return replace(state, scales_s=(*state.scales_s, row.at.timestamp()), servers=state.servers + 1)
    return replace(state, running=(row.run_key, *state.running))


def production(session: Session, model: str, said: Aliases, spec: Spec | None = None) -> Production:
    """Return what is known of a model besides what MLflow says; ``spec``: says how many servers it may have."""
    dags = [f"{model}_{dag}" for dag in sorted(set(rules.DAGS.values()))]
    running = session.execute(select(DagRun.dag_id, DagRun.run_id).where(DagRun.dag_id.in_(dags), DagRun.state.in_(BUSY)))
    paused = session.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_(dags), DagModel.is_paused))
    acts = list(session.scalars(select(Act).where(Act.model == model, Act.state.in_((PLANNED, BEGUN)))))
    verdicts = select(Verdict).where(Verdict.model == model, Verdict.kind.in_(("return", "watch"))).order_by(Verdict.entry)
    times: dict[str, list[float]] = defaultdict(list)
    pairs = []
    for verdict in session.scalars(verdicts):
        if verdict.kind == "return":
            pairs.append((int(verdict.body["evidence"]["champion"]), int(verdict.body["evidence"]["version"])))
        if verdict.kind == "return" or verdict.decision == "ROLLBACK":
            times[Kind.ROLLBACK].append(verdict.at.timestamp())
    for act in acts:
        times[act.act].append(act.at.timestamp())
    hold = holds.current(session, [model]).get(model)
    allowed = bounds_of(spec.serve.replicas, datetime.now(UTC)) if spec else Bounds()
    scale = session.get(Scale, model)
    return Production(
        champion=said.champion,
        previous=said.previous,
        on_trial=said.on_trial,
        condemned=rules.condemned(pairs),
        running=(*(f"{dag}/{run}" for dag, run in running), *(act.run_key for act in acts if act.state == PLANNED and act.run_key)),
        returns_s=tuple(times[Kind.ROLLBACK]),
        retrains_s=tuple(times[Kind.RETRAIN]),
        scales_s=tuple(times[Kind.SCALE]),
        servers=number_for(allowed, scale.replicas if scale else None, asked=True),
        most=allowed.most,
        held=f"{hold.who}, {hold.at:%Y-%m-%d %H:%M} UTC: {hold.why}" if hold else "",
        paused=frozenset(paused),
    )


def planned(session: Session) -> list[Act]:
    """Return the acts whose runs are to be begun, the oldest first; no transaction is left open."""
    found = list(session.scalars(select(Act).where(Act.state == PLANNED).order_by(Act.at, Act.id)))
    session.expunge_all()
    session.rollback()
    return found


def note(session: Session, act: Act, state: str, reason: str) -> None:
    """Note what became of an act, in a transaction that begins with a write."""
    session.execute(update(Act).where(Act.id == act.id).values(state=state, reason=reason))
    session.commit()


def latest(session: Session, models: Sequence[str] | None, limit: int) -> list[Act]:
    """Return acts, the newest first, of all models or of these."""
    query = select(Act).order_by(Act.at.desc(), Act.id).limit(limit)
    return list(session.scalars(query if models is None else query.where(Act.model.in_(models))))


def _row(cause: Cause, act: Kind, spec: Spec, state: Production, now: datetime) -> Act:
    name, why = rules.act_id(cause, act), rules.hindrance(act, spec.monitor, state, now.timestamp())
    run_key = f"{cause.model}_{rules.DAGS[act]}/{rules.run_id(name)}" if act in rules.DAGS and not why else ""
    return Act(
        id=name,
        model=cause.model,
        act=act.value,
        state=NOTIFIED if act is Kind.NOTIFY else REFUSED if why else PLANNED,
        cause=cause.key,
        name=cause.name,
        summary=cause.summary,
        reason=why,
        champion=state.champion,
        version=state.previous if act is Kind.ROLLBACK else None,
        run_key=run_key,
        at=now,
    )
