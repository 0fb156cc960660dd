"""Tells people what happens, by the channels that Airflow's connections `updraft_notify_...` name: a part of the responder.

Everything goes through the outbox: recorded, then told, then noted as told. Who is killed between the last two tells it again, under the
same key: no notice is lost, and a receiver can tell one that comes twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.models.connection import Connection as AirflowConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from include.errors import ComponentError, InputError, UpdraftError
from include.notify.channel import PREFIX, Channel, Connection
from include.runtime.airflow_api import AirflowApi
from lifecycle.db import notices
from lifecycle.db.models import Notice as Row
from lifecycle.db.models import Verdict

TEARDOWNS = ("settle", "report")
"""Fail because something else has."""
Say = Callable[[str], None]
Json = dict[str, Any]


class Notifier:
    """One look at what is to be told is one :meth:`round`. ``address``: of Airflow's UI; ``secrets``: what no notice may hold."""

    def __init__(self, api: AirflowApi, address: str, secrets: Sequence[str], say: Say = print) -> None:
        self._api, self._address, self._secrets, self._say = api, address, secrets, say
        self._wrong: set[str] = set()

    def round(self, session: Session, now: datetime) -> None:
        """Record what is new, and tell what is due."""
        channels = {one.connection.name: one for one in self._channels(session)}
        notices.add(session, list(channels.values()), lambda dag, run: self._cause(session, dag, run), self._address, self._secrets, now)
        session.commit()  # before anything is told
        for row in notices.due(session, list(channels), now):
            channel = channels[row.channel]
            if (later := channel.allowed_from(now, row.urgent)) > now:
                notices.put_off(session, row, later)
            else:
                self._tell(session, channel, row, now)

    def _tell(self, session: Session, channel: Channel, row: Row, now: datetime) -> None:
        facts = {"what": row.what, "model": row.model, "at": row.at.isoformat()}
        try:
            channel.send(row.key, row.title, row.text, facts)
        except ComponentError as error:
            lost = notices.failed(session, row, str(error), now)
            if not row.tries or lost:
                self._say(f"{row.title}: {error}" + (" It is given up." if lost else ""))
        else:
            notices.sent(session, row)

    def _channels(self, session: Session) -> Iterable[Channel]:
        """Yield the channels that the connections describe; one that is wrong is named once."""
        for row in session.scalars(select(AirflowConnection).where(AirflowConnection.conn_id.startswith(PREFIX, autoescape=True))):
            try:
                yield Channel.of(_connection(row))
            except InputError as error:
                if str(error) not in self._wrong:
                    self._wrong.add(str(error))
                    self._say(str(error))

    def _cause(self, session: Session, dag: str, run: str) -> str:
        """Say why a run has failed: the verdict that failed it, or the error of the task that did, out of its log."""
        query = select(Verdict.kind, Verdict.body).where(Verdict.run_key == f"{dag}/{run}", Verdict.decision == "FAIL")
        if failed := [
            f"{kind}: {' '.join(body['reasons'])}" for kind, body in session.execute(query.order_by(Verdict.entry.desc()).limit(1))
        ]:
            return failed[0]
        try:
            tasks = [task for task in self._api.task_instances(dag, run) if task["map_index"] < 0]  # a trial that fails stops no run
            first = first_failed(tasks)
            if first is None:
                return "No task of it has failed: it was ended by hand, or its time was over."
            number = max(int(first["try_number"]), 1)
            log = self._api.get(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{first['task_id']}/logs/{number}")["content"]
            return f"{first['task_id']}: {error_of(log) or 'its log names no error: its process was ended, or its time was over.'}"
        except UpdraftError as error:
            return f"Why is not known: {error}"


def first_failed(tasks: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the task of a run (Airflow's rows) whose failure came first; a teardown only where nothing else has failed."""
    failed = [task for task in tasks if task["state"] == "failed"]
    return min(failed, key=lambda task: (task["task_id"] in TEARDOWNS, task["end_date"] or ""), default=None)


def error_of(log: Iterable[Any]) -> str:
    """Return the last error that a task's log (Airflow's lines) names: its type, and its words; empty for none."""
    found = ""
    for line in log:
        for error in (line.get("error_detail") or ()) if isinstance(line, Mapping) else ():
            kind, words = str(error.get("exc_type") or ""), str(error.get("exc_value") or "")
            found = words if kind.startswith("Airflow") and words else f"{kind}: {words}".strip(": ")
    return found


def _connection(row: AirflowConnection) -> Connection:
    try:
        extra = json.loads(row.get_extra() or "{}")
    except ValueError:
        extra = {}
    found = Connection(str(row.conn_id), str(row.conn_type or ""), row.host or "", row.port, row.login or "", row.password or "")
    return Connection(**{**vars(found), "extra": extra if isinstance(extra, dict) else {}})
