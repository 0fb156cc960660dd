"""The last minute of the gateway's log, model by model."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.gateway.recent import recent

NOW_S = 1_000_000.0


def line(ago_s: float, model: str = "digits", **more: Any) -> str:
    entry = {"time": str(NOW_S - ago_s), "kind": "live", "client": "demo", "model": model, "revision": "2", "served_by": "2", "flags": "-"}
    return json.dumps(entry | {"path": f"/v2/models/{model}/infer", "status": 200, "attempts": 1, "upstream_us": 5000} | more) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_it_counts_the_last_minute_alone(log: Path) -> None:
    log.write_text("".join(line(ago) for ago in (300, 61, 59, 30, 1)) + line(2, "wine", status=500, flags="UH"))
    found = recent(log, NOW_S)
    assert found is not None and set(found) == {"digits", "wine"}
    assert found["digits"].per_minute == 3 and found["digits"].error_rate == 0 and found["digits"].p50_ms == pytest.approx(5, rel=0.03)
    assert found["wine"].error_rate == 1 and found["wine"].p50_ms is None


def test_probes_descriptions_and_callers_own_mistakes_are_no_errors(log: Path) -> None:
    lines = [line(5, kind="probe"), line(5, path="/v2/models/digits"), line(5, status=422), line(5, status=200), "cut sho"]
    log.write_text("".join(lines))
    found = recent(log, NOW_S)
    assert found is not None and found["digits"].per_minute == 2 and found["digits"].error_rate == 0


def test_a_log_that_was_just_rotated_is_read_with_the_one_before(log: Path) -> None:
    log.write_text(line(1))
    log.with_name("access.log.1").write_text(line(50) + line(20))
    log.with_name("access.log.2").write_text(line(500))
    found = recent(log, NOW_S)
    assert found is not None and found["digits"].per_minute == 3


def test_of_a_gateway_busier_than_can_be_read_the_rate_is_that_of_the_seconds_read(log: Path) -> None:
    """A hundred requests a second: of the last minute a part is read, and the rate is still theirs."""
    log.write_text("".join(line(number / 100) for number in range(6000, 0, -1)))
    found = recent(log, NOW_S, most_bytes=200_000)
    assert found is not None and found["digits"].per_minute == pytest.approx(6000, rel=0.1)


def test_without_a_log_nothing_is_known(log: Path) -> None:
    assert recent(log, NOW_S) is None
    log.write_text("")
    assert recent(log, NOW_S) == {}
