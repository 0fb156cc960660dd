"""Metrics of a model over a range of time by REST: out of the gateway's log, for whom the model is, and never guessed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.include.gateway.test_past import NOON_S, line
from tests.plugins.lifecycle.api.conftest import Api

NOON, NEXT, END = "2026-11-18T11:07:00Z", "2026-11-18T11:08:00Z", "2026-11-18T11:10:00"
END_Z = f"{END}Z"


@pytest.fixture
def log(api: Api) -> Iterator[Path]:
    path = api.database.parent / "updraft" / "logs" / "gateway_access.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def asked(api: Api, model: str = "digits", user: str | None = "vera", **params: Any) -> Any:
    return api.get(f"/serving/v1/models/{model}/metrics", user, params=params)


def test_a_range_is_told_by_step_and_revision(api: Api, log: Path) -> None:
    lines = [line(NOON_S - 500), line(NOON_S + 1), line(NOON_S + 2, status=503), line(NOON_S + 61, revision="3", served_by="3")]
    log.write_text("".join(lines))
    found = asked(api, since=NOON, until=END, step=60).json()
    assert (found["since"], found["until"], found["known_since"], found["step_s"], found["problem"]) == (NOON, END_Z, NOON, 60, "")
    assert [(step["at"], step["requests"], step["errors"]) for step in found["steps"]] == [(NOON, 2, 1), (NEXT, 1, 0)]
    assert [(one["version"], [step["requests"] for step in one["steps"]]) for one in found["revisions"]] == [(2, [2]), (3, [1])]
    assert found["steps"][0]["p95_ms"] == pytest.approx(5, rel=0.02) and found["steps"][0]["prompt_tokens"] is None


def test_without_a_log_it_says_that_nothing_is_known(api: Api, log: Path) -> None:
    log.unlink(missing_ok=True)
    found = asked(api).json()
    assert found["known_since"] is None and found["steps"] == [] and "no gateway's log" in found["problem"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"since": "2026-11-18", "until": "2026-11-17"}, "since"),
        ({"since": "2026-11-18T00:00:00Z", "until": "2026-11-19T00:00:00Z", "step": 1}, "step: the range would have 86,400 steps"),
        ({"since": "2020-01-01T00:00:00Z", "until": "2026-11-19T00:00:00Z"}, "366 days"),
        ({"until": "0001-01-01T00:00:00Z"}, "until"),
        ({"step": 0}, "step"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_wrong_range_is_refused_by_name(api: Api, params: dict[str, Any], says: str) -> None:
    answer = asked(api, **params)
    assert answer.status_code == 422 and says in json.dumps(answer.json()["detail"])


def test_only_those_see_it_whose_model_it_is(api: Api) -> None:
    assert asked(api, user=None).status_code == 401
    assert asked(api, "no_such_model").status_code == 404
    assert asked(api, "reading", user="tina").status_code == 404
    assert asked(api, "seeing", user="tom").status_code == 200


def test_those_who_wait_leave_the_servers_threads_to_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from api_shared.problems import Refusal
    from lifecycle.api.serving import metrics

    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    monkeypatch.setattr(metrics, "WAIT_S", 0.01)
    for _ in range(2 * metrics.MOST_AT_ONCE):  # each gives its place back
        assert metrics._read("digits", 0, 1.0, 1).known_since_s is None
    with metrics._reading, pytest.raises(Refusal):
        metrics._read("digits", 0, 1.0, 1)
    monkeypatch.setattr(metrics, "WAIT_S", 60.0)
    for _ in range(metrics.MOST_AT_ONCE):
        assert metrics._asking.acquire(blocking=False)
    try:
        with metrics._reading, pytest.raises(Refusal) as told:
            metrics._read("digits", 0, 1.0, 1)
    finally:
        metrics._asking.release(metrics.MOST_AT_ONCE)
    assert told.value.code == 503
