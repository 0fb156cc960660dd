"""Alertmanager's webhook: what is told is kept once, and 200 means that it is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from tests.plugins.lifecycle.api.conftest import Api
from tests.plugins.lifecycle.api.served import ALERTS_TOKEN

START, END = "2026-11-30T16:00:00.123456789Z", "2026-11-30T16:05:00Z"
NEVER = "0001-01-01T00:00:00Z"


def alert(fingerprint: str, status: str = "firing", **changed: Any) -> dict[str, Any]:
    """As Alertmanager 0.25 sends one."""
    labels = {"alertname": "ErrorRateHigh", "model": "digits", "revision": "3", "severity": "critical"}
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "digits version 3 fails 5 % of its requests."},
        "startsAt": START,
        "endsAt": END if status == "resolved" else NEVER,
        "generatorURL": "http://127.0.0.1:8070/graph",
        "fingerprint": fingerprint,
    } | changed


def told(api: Api, *alerts: dict[str, Any], token: str = ALERTS_TOKEN, **changed: Any) -> Any:
    message = {"version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "updraft", "groupLabels": {}, "commonLabels": {}}
    body = message | {"commonAnnotations": {}, "externalURL": "http://am", "truncatedAlerts": 0, "alerts": list(alerts)} | changed
    return api.call("POST", "alerts", None, json=body, headers={"Authorization": f"Bearer {token}"})


def kept(api: Api, fingerprint: str, **more: Any) -> list[dict[str, Any]]:
    rows = api.get("alerts", params={"limit": 1000} | more).json()
    return [row for row in rows if row["fingerprint"].startswith(fingerprint)]


@pytest.fixture
def mark() -> str:
    return uuid4().hex


def test_an_alert_is_kept_once_however_often_it_is_told(api: Api, mark: str):
    assert told(api, alert(mark)).json() == {"alerts": 1, "new": 1, "cut_off": 0}
    assert told(api, alert(mark), alert(mark)).json() == {"alerts": 2, "new": 0, "cut_off": 0}
    row = kept(api, mark)[0]
    assert len(kept(api, mark)) == 1 and (row["name"], row["model"], row["severity"]) == ("ErrorRateHigh", "digits", "critical")
    assert row["ends_at"] is None and row["summary"].startswith("digits version 3")


def test_it_ends_once_and_a_late_message_does_not_open_it_again(api: Api, mark: str):
    told(api, alert(mark))
    assert kept(api, mark, firing=True)
    for _ in range(2):
        told(api, alert(mark, "resolved"))
    told(api, alert(mark))
    assert not kept(api, mark, firing=True) and kept(api, mark)[0]["ends_at"].startswith("2026-11-30T16:05:00")


def test_resolved_before_fired_is_over(api: Api, mark: str):
    assert told(api, alert(mark, "resolved")).status_code == 200
    assert told(api, alert(mark)).json()["new"] == 0
    assert not kept(api, mark, firing=True) and len(kept(api, mark)) == 1
    # Both in one message, the later word first.
    other = mark[:-1] + "0" if mark[-1] != "0" else mark[:-1] + "1"
    told(api, alert(other, "resolved"), alert(other))
    assert not kept(api, other, firing=True)


def test_it_fires_anew_with_another_start(api: Api, mark: str):
    told(api, alert(mark, "resolved"))
    told(api, alert(mark, startsAt="2026-11-30T17:00:00Z"))
    assert [row["ends_at"] is None for row in sorted(kept(api, mark), key=lambda row: row["starts_at"])] == [False, True]


def test_what_is_acknowledged_is_in_the_database_whatever_becomes_of_the_server(api: Api, mark: str):
    """Another process finds it at once: nothing is left to do that a kill could prevent."""
    assert told(api, alert(f"{mark}0"), alert(f"{mark}1")).status_code == 200
    with closing(sqlite3.connect(f"file:{api.database}?mode=ro", uri=True)) as database:
        (rows,) = database.execute("select count(*) from updraft_alert where fingerprint like ?", (f"{mark}%",)).fetchone()
    assert rows == 2


def test_a_group_is_kept_whole_and_what_was_cut_off_is_said(api: Api, mark: str):
    group = [alert(f"{mark}{number:03x}") for number in range(20)]
    assert told(api, *group, truncatedAlerts=7).json() == {"alerts": 20, "new": 20, "cut_off": 7}
    assert len(kept(api, mark)) == 20


def test_a_storm_is_kept(api: Api, mark: str):
    storm = [alert(f"{mark}{number:04x}", labels={"alertname": "Storm", "model": f"m{number}"}) for number in range(1000)]
    assert told(api, *storm).json() == {"alerts": 1000, "new": 1000, "cut_off": 0}
    assert told(api, *storm).json()["new"] == 0
    assert len(kept(api, mark, firing=True)) == 1000
    told(api, *(one | {"status": "resolved", "endsAt": END} for one in storm))
    assert not kept(api, mark, firing=True)


@pytest.mark.parametrize("labels", [{}, {"model": "nobody_knows"}, {"alertname": "x" * 4000, "model": "x" * 4000}, {"alertname": "a\x00b"}])
def test_odd_labels_are_kept_and_lose_nothing_of_the_others(api: Api, mark: str, labels: dict[str, str]):
    assert told(api, alert(f"{mark}0", labels=labels), alert(f"{mark}1")).json()["new"] == 2
    assert len(kept(api, mark)) == 2


@pytest.mark.parametrize("token", ["", "wrong", ALERTS_TOKEN[:-1], f"{ALERTS_TOKEN} "[:-2]])
def test_a_forged_message_is_refused_and_nothing_is_kept(api: Api, mark: str, token: str):
    assert told(api, alert(mark), token=token).status_code == 401
    assert not kept(api, mark)


@pytest.mark.parametrize("user", ["anna", "olaf", "vera", "updraft", None])
def test_no_login_tells_of_alerts(api: Api, mark: str, user: str | None):
    assert api.call("POST", "alerts", user, json={"version": "4", "alerts": [alert(mark)]}).status_code == 401
    assert not kept(api, mark)


def test_alertmanagers_token_opens_nothing_else(api: Api):
    headers = {"Authorization": f"Bearer {ALERTS_TOKEN}"}
    for path in ("alerts", "verdicts", "summary"):
        assert api.call("GET", path, None, headers=headers).status_code in (401, 403)


@pytest.mark.parametrize(
    "wrong",
    [{"version": "3"}, {"alerts": None}, {"alerts": [{"status": "firing"}]}, {"truncatedAlerts": -1}],
    ids=lambda wrong: str(wrong)[:40],
)
def test_what_is_no_message_is_refused_whole(api: Api, mark: str, wrong: dict[str, Any]):
    answer = told(api, alert(mark), **wrong)
    assert answer.status_code == 422 and answer.json()["detail"]
    assert not kept(api, mark)


def test_too_long_a_message_is_refused(api: Api, mark: str):
    assert told(api, alert(mark, annotations={"summary": "x" * (5 * 1024 * 1024)})).status_code == 413
    assert not kept(api, mark)
