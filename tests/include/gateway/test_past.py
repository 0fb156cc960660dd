"""What the gateway's log tells of a range of time, step by step and revision by revision."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.gateway.past import MOST_STEPS, past, step_of

NOON_S = 1_795_000_020
STEP_S = 60


def line(at_s: float, model: str = "digits", **more: Any) -> str:
    entry = {"time": str(at_s), "kind": "live", "client": "demo", "model": model, "revision": "2", "served_by": "2", "flags": "-"}
    return json.dumps(entry | {"path": f"/v2/models/{model}/infer", "status": 200, "attempts": 1, "upstream_us": 5000} | more) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_requests_are_counted_by_step_and_revision(log: Path) -> None:
    lines = [line(NOON_S - 400), line(NOON_S + 1), line(NOON_S + 2, revision="3", served_by="3", upstream_us=50_000)]
    lines += [line(NOON_S + 3, status=500), line(NOON_S + 4, status=422), line(NOON_S + 61), line(NOON_S + 70, "wine")]
    lines += [line(NOON_S + 71, kind="probe"), line(NOON_S + 72, path="/v2/models/digits"), line(NOON_S + 180)]
    log.write_text("".join(lines))
    found = past(log, "digits", NOON_S, NOON_S + 180, STEP_S)
    assert found.known_since_s == NOON_S
    counts = {at - NOON_S: (step.requests, step.errors, step.refused) for at, step in found.all.items()}
    assert counts == {0: (4, 1, 1), 60: (1, 0, 0)}
    assert {name: [step.requests for step in steps.values()] for name, steps in found.revisions.items()} == {"2": [3, 1], "3": [1]}
    assert found.all[NOON_S].quantile_ms(0.5) == pytest.approx(5, rel=0.02)
    assert found.all[NOON_S].quantile_ms(0.95) == pytest.approx(50, rel=0.02)
    assert found.all[NOON_S].prompt_tokens is None


def test_tokens_are_added_up_and_a_fallback_is_counted_apart(log: Path) -> None:
    told: dict[str, Any] = {"path": "/v1/chat/completions", "first_byte_us": 900, "finish_reason": "stop"}
    lines = [line(NOON_S - 500), line(NOON_S + 1, prompt_tokens=120, completion_tokens=30, **told), line(NOON_S + 2, **told)]
    log.write_text("".join([*lines, line(NOON_S + 3, kind="fallback", prompt_tokens=7, **told)]))
    found = past(log, "digits", NOON_S, NOON_S + 60, STEP_S)
    step = found.all[NOON_S]
    assert (step.requests, step.fallbacks, step.prompt_tokens, step.completion_tokens) == (2, 1, 120, 30)
    assert step.quantile_ms(0.5) == pytest.approx(0.9, rel=0.02), "the first byte's, of a language model"
    assert found.revisions["2"][NOON_S].fallbacks == 0


def test_what_the_log_has_no_more_is_not_called_zero(log: Path) -> None:
    log.write_text(line(NOON_S + 90) + line(NOON_S + 130))
    log.with_name("access.log.1").write_text(line(NOON_S + 70))
    found = past(log, "digits", NOON_S, NOON_S + 180, STEP_S)
    assert found.known_since_s == NOON_S + 120, "the first whole step"
    assert list(found.all) == [NOON_S + 120] and found.revisions.keys() == {"2"}


def test_a_reader_stops_at_its_bounds_and_says_how_far_it_came(log: Path) -> None:
    log.write_text("".join(line(NOON_S + number / 10) for number in range(36_000)))
    some = past(log, "digits", NOON_S, NOON_S + 3600, STEP_S, most_bytes=1_000_000)
    assert NOON_S < (some.known_since_s or 0) < NOON_S + 3600
    assert {step.requests for step in some.all.values()} == {600}, "whole steps alone"
    ticks = iter(range(100))
    slow = past(log, "digits", NOON_S, NOON_S + 3600, STEP_S, most_s=1.5, clock=lambda: next(ticks))
    assert (slow.known_since_s or 0) > (some.known_since_s or 0)


def test_without_a_log_nothing_is_known_and_an_empty_one_knows_nothing_of_before(log: Path) -> None:
    assert past(log, "digits", NOON_S, NOON_S + 60, STEP_S).known_since_s is None
    log.write_text("cut sho")
    assert past(log, "digits", NOON_S, NOON_S + 60, STEP_S).known_since_s == NOON_S + 60


@pytest.mark.parametrize("seconds", [1, 600, 10_800, 86_400, 366 * 86_400])
def test_a_range_gets_a_step_that_suits_it(seconds: int) -> None:
    assert seconds / step_of(seconds) <= 120 < MOST_STEPS
