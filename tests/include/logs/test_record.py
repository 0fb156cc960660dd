from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.logs.record import parse

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (
            "2026-12-01T12:00:00.000000Z [info     ] Finished [uvicorn.error] loc=server.py:113",
            "info",
            "[info     ] Finished [uvicorn.error] loc=server.py:113",
        ),
        ("[2026-12-01T12:00:00.000Z][11889][warning][main] caught ENVOY_SIGTERM", "warning", "[11889][warning][main] caught ENVOY_SIGTERM"),
        ('E1201 12:00:00.000000 20457 main.cc:535] "failed"', "error", '20457 main.cc:535] "failed"'),
        ("\x1b[0;93m2026-12-01 12:00:00.000000+00:00 [W:onnxruntime:Default] Failed\x1b[m", "warning", "[W:onnxruntime:Default] Failed"),
        ('{"timestamp": "2026-12-01T12:00:00.000000Z", "level": "warning", "event": "late"}', "warning", "late"),
        (f'{{"time": "{NOON:.6f}", "method": "POST", "path": "/v2", "status": 200}}', "info", "POST /v2 200"),
        (f'{{"time": "{NOON:.6f}", "method": "POST", "path": "/v2", "status": 503}}', "error", "POST /v2 503"),
        (f'{{"time": "{NOON:.6f}", "method": "POST", "path": "/v2", "status": 0}}', "error", "POST /v2 0"),
        (f'{{"time": {NOON}, "level": "error", "request_id": "a", "message": "KeyError"}}', "error", "KeyError"),
    ],
)
def test_each_programs_lines_are_understood(line: str, level: str, message: str) -> None:
    found = parse("it", line, before=0.0, year=2026)
    assert (found.time, found.exact, found.level, found.message) == (NOON, True, level, message)


def test_a_line_without_a_time_has_that_of_the_line_before() -> None:
    found = parse("it", "Traceback (most recent call last):", before=NOON, year=2026)
    assert (found.time, found.exact) == (NOON, False)


def test_the_requests_id_is_a_fact() -> None:
    assert parse("it", '{"time": 1, "message": "x", "request_id": "a"}', 0.0, 2026).facts == {"request_id": "a"}


@given(st.text(), st.sampled_from(["", "{", '{"time":', "2026-13-41 99:99:99 ", "E9999 99:99:99.9 ", '{"status": "x", "time": ']))
def test_no_line_breaks_it(text: str, start: str) -> None:
    json.dumps(parse("it", start + text, before=1.0, year=2026).to_json())
