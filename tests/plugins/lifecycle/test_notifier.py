"""What people are told: found in a real database, told to a real receiver, each once. Airflow's API is a list of logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.models.base import Base as AirflowBase
from airflow.models.connection import Connection
from airflow.models.dagrun import DagRun
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from include.notify.channel import Channel
from lifecycle.db import alerts, evidence, notices
from lifecycle.db.alerts import Told
from lifecycle.db.models import Act
from lifecycle.db.models import Notice as Row
from lifecycle.notifier import Notifier, error_of, first_failed
from tests.include.notify import receivers
from tests.include.notify.receivers import Web

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
LOG = [{"event": "begun"}, {"event": "Task failed", "error_detail": [{"exc_type": "ZeroDivisionError", "exc_value": "my own mistake"}]}]
TASKS = [
    {"task_id": "settle", "state": "failed", "end_date": "2026-11-30T11:00:00Z", "try_number": 1},
    {"task_id": "evaluate", "state": "upstream_failed", "end_date": None, "try_number": 0},
    {"task_id": "train", "state": "failed", "end_date": "2026-11-30T12:00:00Z", "try_number": 2},
]


class Killed(BaseException):
    """As kill -9: nobody catches it."""


class Airflow:
    def get(self, path: str, **_: Any) -> Any:
        assert path.endswith("/taskInstances/train/logs/2")
        return {"content": LOG}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [task | {"map_index": -1} for task in TASKS]


class Site:
    def __init__(self, engine: Engine, web: Web) -> None:
        self.engine, self.web, self.said = engine, web, list[str]()

    def add(self, *rows: Any) -> None:
        with Session(self.engine) as session:
            session.add_all(rows)
            session.commit()

    def channel(self, name: str = "updraft_notify_hook", **extra: Any) -> None:
        made = Connection(conn_id=name, conn_type="http", host="http://127.0.0.1", port=self.web.port, extra=json.dumps(extra))
        self.add(made)

    def verdict(self, kind: str, decision: str, at: datetime = LATER, run_key: str = "digits_lifecycle/r", **found: Any) -> None:
        body = {"decision": decision, "reasons": ["It has reasons."], "rules": [], "evidence": found}
        with Session(self.engine) as session:
            content = {"run_key": run_key, "kind": kind, "model": "digits", "version": 2, "decision": decision, "body": body}
            evidence.keep_verdict(session, "updraft", content).at = at
            session.commit()

    def alert(self, *fingerprints: str, at: datetime = LATER, severity: str = "critical") -> None:
        rows = [Told(one, at, "GatewayDown", "", severity, f"It is down ({one}).", {}, None) for one in fingerprints]
        with Session(self.engine) as session:
            alerts.keep(session, rows, at)
            session.commit()

    def failure(self, run: str = "r", dag: str = "digits_lifecycle") -> None:
        made = DagRun(dag_id=dag, run_id=run, run_type="manual", state="failed", run_after=NOW, start_date=NOW)
        made.end_date = LATER
        self.add(made)

    def round(self, now: datetime = LATER) -> None:
        with Session(self.engine) as session:
            Notifier(Airflow(), "http://airflow", ["the-platforms-secret"], self.said.append).round(session, now)  # type: ignore[arg-type]

    @property
    def told(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.web.got if body["what"] != "hello"]

    @property
    def rows(self) -> list[Row]:
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(Row).where(Row.what != "hello").order_by(Row.at)))


@pytest.fixture
def site(engine: Engine) -> Iterator[Site]:
    with receivers.web() as web:
        site = Site(engine, web)
        site.channel()
        site.round(NOW)
        yield site


def test_a_new_channel_says_hello_once_and_nothing_of_what_was_before(site: Site):
    site.verdict("canary", "PROMOTE", NOW - timedelta(hours=1))
    site.round()
    assert [body["what"] for _, _, body in site.web.got] == ["hello"]


def test_a_verdict_is_told_once_with_its_reasons_and_a_link(site: Site):
    site.verdict("canary", "ROLLBACK")
    for _ in range(3):
        site.round()
    (body,) = site.told
    assert body["title"] == "digits: canary ROLLBACK, version 2" and body["what"] == "verdict"
    assert body["text"] == "It has reasons.\n\nhttp://airflow/dags/digits_lifecycle/runs/r"


def test_a_verdict_on_which_there_is_nothing_to_say_is_not_told(site: Site):
    site.verdict("data", "PASS")
    site.verdict("watch", "PASS")
    site.round()
    assert site.told == []


def test_of_the_looks_at_production_only_what_is_new_is_told_and_harm_alone_is_an_alarm(site: Site):
    for hour, decision in enumerate(("NOT KNOWN", "PASS", "NOTICE", "NOTICE", "ALARM", "ALARM")):
        site.verdict("drift", decision, LATER + timedelta(seconds=hour), run_key=f"digits_monitoring/{hour}")
    site.round(LATER + timedelta(minutes=1))
    told = [(body["what"], body["title"]) for body in site.told]
    assert told == [("verdict", "digits: drift NOTICE, version 2"), ("alarm", "digits: drift ALARM, version 2")]


def test_a_failure_is_told_with_its_cause_out_of_the_log(site: Site):
    site.failure()
    site.round()
    site.round()
    (body,) = site.told
    assert body["title"] == "digits_lifecycle has failed" and body["text"].startswith("train: ZeroDivisionError: my own mistake\n")


def test_a_backup_that_is_useless_is_told_and_is_no_models(site: Site):
    site.failure(dag="updraft_backup")
    site.round()
    (body,) = site.told
    assert (body["title"], body["model"]) == ("updraft_backup has failed", "")


def test_a_failure_by_a_verdict_is_told_with_the_verdicts_reasons(site: Site):
    site.verdict("gate", "FAIL")
    site.failure()
    site.round()
    (body,) = site.told
    assert body["text"].startswith("gate: It has reasons.\n")


def test_alarms_of_a_storm_are_one_notice(site: Site):
    site.alert(*(f"{number:03x}" for number in range(300)))
    site.alert("fff", severity="warning")
    site.round()
    site.round()
    (body,) = site.told
    assert body["title"] == "Updraft: GatewayDown (300 alerts)" and "… and 290 more." in body["text"]


def test_an_act_is_told_with_the_alert_that_caused_it_and_the_alert_not_again(site: Site):
    site.alert("ab")
    cause = f"alert/ab/{LATER.isoformat()}"
    site.add(
        Act(
            id="1", model="digits", act="rollback", state="REFUSED", cause=cause, name="ErrorRateHigh", summary="5 % fail.",
            reason="No version was champion before.", run_key="", at=LATER,
        )
    )  # fmt: skip
    site.round()
    (body,) = site.told
    assert body["text"].startswith("ErrorRateHigh asks for rollback (REFUSED): 5 % fail. No version was champion before.\n")


def test_an_approval_that_waits_is_told(site: Site):
    with Session(site.engine) as session:
        ti = uuid4()
        session.connection().exec_driver_sql("PRAGMA foreign_keys=OFF")
        task = AirflowBase.metadata.tables["task_instance"]
        needed = {column.name: 0 for column in task.columns if not column.nullable and column.default is None}
        row = needed | {"id": ti, "task_id": "approve", "dag_id": "digits_lifecycle", "run_id": "r", "pool": "p", "map_index": -1}
        session.execute(task.insert().values(**{name: value for name, value in row.items() if name in task.columns}))
        hitl = AirflowBase.metadata.tables["hitl_detail"]
        session.execute(
            hitl.insert().values(ti_id=ti, options=[], subject="Deploy digits?", body="It has passed.", params={}, created_at=LATER)
        )
        session.commit()
    site.round()
    site.round()
    (body,) = site.told
    assert body["title"] == "digits waits for a person: Deploy digits?" and "/dags/digits_lifecycle/runs/r" in body["text"]


def test_what_is_not_taken_is_told_later_with_longer_pauses_and_given_up_after_a_day(site: Site):
    site.web.status = 503
    site.verdict("return", "PROMOTE")
    pauses, now = [], LATER
    for _ in range(4):
        site.round(now)
        pauses.append((site.rows[0].due - now).total_seconds())
        site.round(now)  # not yet
        now = site.rows[0].due
    assert pauses == [10, 20, 40, 80] and len(site.told) == 4 and site.rows[0].tries == 4 and "503" in site.rows[0].problem
    site.web.status = 200
    site.round(now)
    site.round(now)
    assert len(site.told) == 5 and site.rows[0].state == notices.SENT
    site.web.status = 503
    site.verdict("canary", "PROMOTE", now)
    site.round(now)
    site.round(now + timedelta(hours=25))
    site.web.status = 200
    site.round(now + timedelta(hours=50))
    assert [row.state for row in site.rows] == [notices.SENT, notices.LOST] and len(site.told) == 7 and "given up" in site.said[-1]


def test_killed_while_it_tells_it_tells_again_under_the_same_key(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.verdict("canary", "PROMOTE")

    def told_and_killed(self: Channel, *of: Any) -> None:
        real(self, *of)
        raise Killed

    real = Channel.send
    monkeypatch.setattr(Channel, "send", told_and_killed)
    with pytest.raises(Killed):
        site.round()
    monkeypatch.setattr(Channel, "send", real)
    site.round()
    site.round()
    assert len({body["key"] for body in site.told}) == 1 and len(site.told) == 2 and site.rows[0].state == notices.SENT


def test_in_quiet_hours_only_alarms_are_told_and_the_rest_afterwards(site: Site):
    site.channel("updraft_notify_night", quiet="11:00-13:00", path="/night")
    site.round(NOW)
    site.verdict("canary", "PROMOTE")
    site.alert("ab")
    site.round()
    at_night = lambda: [body["what"] for path, _, body in site.web.got if path == "/night"]  # noqa: E731
    assert at_night() == ["alarm"]
    site.round(NOW + timedelta(hours=1, minutes=1))
    assert sorted(at_night()) == ["alarm", "hello", "verdict"]


def test_a_wrong_channel_is_said_once_and_keeps_no_other_from_being_told(site: Site):
    site.channel("updraft_notify_wrong", quiet="late")
    site.verdict("canary", "PROMOTE")
    site.round()
    assert len(site.told) == 1 and len(site.said) == 1 and "updraft_notify_wrong" in site.said[0]


def test_no_secret_gets_into_the_outbox(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(LOG[1], "error_detail", [{"exc_type": "OSError", "exc_value": "the-platforms-secret at mysql://a:b1@db"}])
    site.failure()
    site.round()
    assert "***" in site.rows[0].text and "platforms-secret" not in site.rows[0].text and "b1" not in site.rows[0].text


def test_the_first_failure_counts_and_a_teardowns_only_alone():
    found = first_failed(TASKS)
    assert found is not None and found["task_id"] == "train"
    found = first_failed(TASKS[:2])
    assert found is not None and found["task_id"] == "settle"
    assert first_failed([]) is None and error_of([{"event": "x"}, "odd"]) == ""
