"""What there is to tell, found in the database, and the outbox out of which it is told: each notice once a channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from include.acts.audit import NAME
from include.backup.plan import DAG_ID as BACKUP
from include.budgets.status import Level
from include.notify.channel import Channel
from include.notify.notice import Notice, What, rendered
from include.spec.names import DAG_ENDS
from include.verdict import Decision
from lifecycle.db.budgets import ACTS
from lifecycle.db.models import Act, Alert, ServingAct, Verdict
from lifecycle.db.models import Notice as Row

WAITING, SENT, LOST = "WAITING", "SENT", "LOST"
FRESH = timedelta(hours=24)
"""So old may be what is told still: the platform may have been down."""
KEPT = timedelta(days=90)
GIVEN_UP = timedelta(hours=24)
FIRST_S, LONGEST_S = 10.0, 3600.0
"""Pause before the second try, and the longest; each is twice the one before."""
VERDICTS = ("canary", "return", "watch", "drift")
FINE = (("watch", "PASS"), ("drift", "PASS"), ("drift", "NOT KNOWN"))
"""Nobody is told of these."""
SHOWN = 10
"""Alerts that one notice names."""
PAGE = "plugin/lifecycle"
"""The page Models."""
COST_PAGE = "plugin/cost"
HELLO = Notice("", What.HELLO, "", "Updraft tells here what happens", "Verdicts, failures, approvals that wait, alarms.", PAGE)
Cause = Callable[[str, str], str]
"""DAG id and run id → why the run has failed."""


def add(session: Session, channels: Sequence[Channel], cause: Cause, address: str, secrets: Sequence[str], now: datetime) -> int:
    """Put into the outbox what is new since each channel is there. Returns how many rows that were; the caller commits.

    ``address``: of Airflow's UI; ``secrets``: what no notice may hold.
    """
    if not channels:
        return 0
    rows = select(Row.key, Row.channel, Row.at).where(or_(Row.at >= now - 2 * FRESH, Row.what == What.HELLO))
    known = {(row.key, row.channel): row.at for row in session.execute(rows)}
    since = {one.connection.name: known.get((_key("hello", one.connection.name), one.connection.name), now) for one in channels}
    oldest = max(min(since.values()), now - FRESH)

    def told(key: str) -> bool:
        return all((_key(key), one.connection.name) in known for one in channels)

    found = list(_found(session, cause, oldest, told))
    session.rollback()  # what has only read cannot become SQLite's writer; and nobody waits while a cause is asked for
    made = 0
    for channel in channels:
        name = channel.connection.name
        made += _put(session, known, channel, HELLO, _key("hello", name), address, secrets, now)
        for at, notice in found:
            if at >= since[name] and channel.wants(notice.what, notice.model):
                made += _put(session, known, channel, notice, _key(notice.key), address, secrets, now)
    if not made:
        return 0
    session.execute(delete(Row).where(Row.at < now - KEPT, Row.what != What.HELLO))
    session.flush()
    return made


def due(session: Session, names: Sequence[str], now: datetime) -> list[Row]:
    """Return what is to be told now by the channels of these names, the oldest first; no transaction is left open."""
    query = select(Row).where(Row.state == WAITING, Row.due <= now, Row.channel.in_(names))
    found = list(session.scalars(query.order_by(Row.at, Row.key)))
    session.expunge_all()
    session.rollback()
    return found


def sent(session: Session, row: Row) -> None:
    """Note that a notice is told."""
    _note(session, row, state=SENT, tries=row.tries + 1, problem="")


def failed(session: Session, row: Row, problem: str, now: datetime) -> bool:
    """Note a try that failed: the next comes after a pause, none after a day. Returns whether it is given up."""
    pause_s, lost = min(FIRST_S * 2 ** min(row.tries, 20), LONGEST_S), now - row.at > GIVEN_UP
    state = LOST if lost else WAITING
    _note(session, row, state=state, tries=row.tries + 1, problem=problem[:1000], due=now + timedelta(seconds=pause_s))
    return lost


def put_off(session: Session, row: Row, until: datetime) -> None:
    """Note that a notice waits for the end of quiet hours."""
    _note(session, row, due=until)


def _note(session: Session, row: Row, **values: Any) -> None:
    """Its own transaction, that begins with a write."""
    session.execute(update(Row).where(Row.key == row.key, Row.channel == row.channel).values(**values))
    session.commit()


def _put(
    session: Session,
    known: dict[tuple[str, str], datetime],
    channel: Channel,
    notice: Notice,
    key: str,
    address: str,
    secrets: Sequence[str],
    now: datetime,
) -> int:
    name = channel.connection.name
    if (key, name) in known:
        return 0
    known[key, name] = now
    title, text = rendered(notice, address, secrets)
    waits = {"state": WAITING, "tries": 0, "problem": "", "at": now, "due": channel.allowed_from(now, notice.urgent)}
    session.add(Row(key=key, channel=name, what=notice.what, model=notice.model, title=title, text=text, urgent=notice.urgent, **waits))
    return 1


def _found(session: Session, cause: Cause, since: datetime, told: Callable[[str], bool]) -> Iterator[tuple[datetime, Notice]]:
    """What has happened since, and when; why a run has failed is asked only where nobody was ``told`` yet."""
    yield from _verdicts(session, since)
    yield from _failures(session, cause, since, told)
    yield from _approvals(session, since)
    yield from _alarms(session, since)
    yield from _budgets(session, since)


def _verdicts(session: Session, since: datetime) -> Iterator[tuple[datetime, Notice]]:
    columns = (Verdict.entry, Verdict.run_key, Verdict.kind, Verdict.model, Verdict.version, Verdict.decision, Verdict.at)
    query = select(*columns, Verdict.body["reasons"].label("reasons"))
    for row in session.execute(query.where(Verdict.at >= since, Verdict.kind.in_(VERDICTS)).order_by(Verdict.entry)):
        if (row.kind, row.decision) in FINE or (row.kind == "drift" and _before(session, row.entry, row.model) == row.decision):
            continue
        what = What.ALARM if row.kind == "watch" or row.decision == Decision.ALARM else What.VERDICT
        title = f"{row.model}: {row.kind} {row.decision}" + (f", version {row.version}" if row.version else "")
        yield (
            row.at,
            Notice(f"verdict/{row.entry}", what, row.model, title, " ".join(row.reasons or ()), _page(row.run_key), what is What.ALARM),
        )


def _before(session: Session, entry: int, model: str) -> str | None:
    """What the look at production before said: each hour's is told only where it is something new."""
    query = select(Verdict.decision).where(Verdict.kind == "drift", Verdict.model == model, Verdict.entry < entry)
    return session.scalar(query.order_by(Verdict.entry.desc()).limit(1))


def _failures(session: Session, cause: Cause, since: datetime, told: Callable[[str], bool]) -> Iterator[tuple[datetime, Notice]]:
    ours = or_(DagRun.dag_id == BACKUP, *(DagRun.dag_id.endswith(suffix, autoescape=True) for suffix in DAG_ENDS))
    query = select(DagRun.dag_id, DagRun.run_id, DagRun.end_date).where(ours, DagRun.state == "failed", DagRun.end_date >= since)
    for dag, run, end in session.execute(query.order_by(DagRun.end_date)):
        assert end is not None
        key = f"failure/{dag}/{run}/{end.isoformat()}"  # a run that was cleared may fail again
        if told(key):
            continue
        model = "" if dag == BACKUP else dag.rpartition("_")[0]
        yield end, Notice(key, What.FAILURE, model, f"{dag} has failed", cause(dag, run), _page(f"{dag}/{run}"))


def _approvals(session: Session, since: datetime) -> Iterator[tuple[datetime, Notice]]:
    query = select(HITLDetail.ti_id, HITLDetail.subject, HITLDetail.body, HITLDetail.created_at, TaskInstance.dag_id, TaskInstance.run_id)
    query = query.join(TaskInstance, TaskInstance.id == HITLDetail.ti_id).where(HITLDetail.responded_at.is_(None))
    for ti, subject, body, at, dag, run in session.execute(query.where(HITLDetail.created_at >= since)):
        model = dag.rpartition("_")[0]
        path = f"dags/{dag}/runs/{run}/required_actions"
        yield at, Notice(f"approval/{ti}", What.APPROVAL, model, f"{model} waits for a person: {subject}", body or "", path)


def _alarms(session: Session, since: datetime) -> Iterator[tuple[datetime, Notice]]:
    """Acts with the alerts that asked for them, by the model and the moment of their recording; and critical alerts that ask for none."""
    acts: dict[tuple[str, datetime], list[Act]] = {}
    causes = set()
    for act in session.scalars(select(Act).where(Act.at >= since).order_by(Act.at, Act.state, Act.id)):
        causes.add(act.cause)
        acts.setdefault((act.model, act.at), []).append(act)
    for (model, at), rows in acts.items():
        lines = [f"{row.name} asks for {row.act} ({row.state}): {row.summary} {row.reason}".rstrip() for row in rows]
        title = f"{model}: {rows[0].name}" + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")
        yield at, Notice(f"acts/{model}/{at.isoformat()}", What.ALARM, model, title, _listed(lines), PAGE, urgent=True)
    alerts: dict[tuple[str, str, datetime], list[Alert]] = {}
    query = select(Alert).where(Alert.at >= since, Alert.ends_at.is_(None), Alert.severity == "critical").order_by(Alert.starts_at)
    for row in session.scalars(query):
        if f"alert/{row.fingerprint}/{row.starts_at.isoformat()}" not in causes:
            alerts.setdefault((row.model, row.name, row.at), []).append(row)
    for (model, name, at), found in alerts.items():
        title = f"{model or 'Updraft'}: {name}" + (f" ({len(found)} alerts)" if len(found) > 1 else "")
        yield (
            at,
            Notice(f"alert/{model}/{name}/{at.isoformat()}", What.ALARM, model, title, _listed([row.summary for row in found]), PAGE, True),
        )


def _budgets(session: Session, since: datetime) -> Iterator[tuple[datetime, Notice]]:
    """Budgets that are nearly, or wholly, used up, as the chain has them."""
    query = select(ServingAct).where(ServingAct.at >= since, ServingAct.act.in_(ACTS.values())).order_by(ServingAct.entry)
    for row in session.scalars(query):
        urgent = row.act == ACTS[Level.USED_UP]
        title = f"Budget of {row.body[NAME]}: {'used up' if urgent else 'nearly used up'}"
        yield row.at, Notice(f"budget/{row.entry}", What.ALARM, "", title, row.why, COST_PAGE, urgent)


def _listed(lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - SHOWN} more."] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more])


def _page(run_key: str) -> str:
    dag, _, run = run_key.partition("/")
    return f"dags/{dag}/runs/{run}"


def _key(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:32]
