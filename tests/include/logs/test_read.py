from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import InputError
from include.logs.__main__ import shown, since
from include.logs.files import files
from include.logs.read import Wanted, records
from include.runtime.settings import Settings

ID = "01a23038-7964-7cfe-98f4-73e4067dae8d"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = replace(Settings.load(), home=tmp_path)
    settings.logs.mkdir()

    def access(time: float, model: str, request: str = "other") -> str:
        return json.dumps({"time": f"{time}", "model": model, "method": "POST", "path": "/x", "status": 200, "request_id": request}) + "\n"

    (settings.logs / "gateway_access.log.1").write_text(access(100.0, "wine"))
    (settings.logs / "gateway_access.log").write_text(access(200.5, "wine", ID) + access(300.0, "beer"))
    failed = json.dumps({"time": 200.7, "level": "error", "request_id": ID, "message": "KeyError"})
    (settings.logs / "revision-wine-3.log").write_text(f"loading\n1970-01-01T00:03:20.600000Z ready\n  deeper\n{failed}\n")
    (settings.logs / "revision-beer-1.log").write_text("1970-01-01T00:03:20.650000Z ready\n")
    (settings.logs / "watch.log").write_text("1970-01-01T00:05:00Z wine: harm\n1970-01-01T00:05:01Z beer: none\n")
    task = settings.logs / "airflow" / "dag_id=wine_lifecycle" / "run_id=r" / "task_id=train"
    task.mkdir(parents=True)
    (task / "attempt=1.log").write_text('{"timestamp": "1970-01-01T00:02:00Z", "level": "info", "event": "trained"}\n')
    return settings


def told(settings: Settings, wanted: Wanted) -> list[tuple[float, str, str]]:
    return [(record.time, record.source, record.message) for record in records(files(settings), wanted)]


def test_a_models_logs_are_told_in_one_order_and_no_other_models(settings: Settings) -> None:
    assert told(settings, Wanted(model="wine")) == [
        (100.0, "gateway", "POST /x 200"),
        (120.0, "wine_lifecycle.train", "trained"),
        (200.5, "gateway", "POST /x 200"),
        (200.6, "revision-wine-3", "loading"),
        (200.6, "revision-wine-3", "ready"),
        (200.6, "revision-wine-3", "  deeper"),
        (200.7, "revision-wine-3", "KeyError"),
        (300.0, "watch", "wine: harm"),
    ]


def test_since_leaves_out_what_was_before(settings: Settings) -> None:
    assert [source for _, source, _ in told(settings, Wanted(model="wine", since=200.55))] == [*["revision-wine-3"] * 4, "watch"]
    os.utime(settings.logs / "revision-wine-3.log", (100, 100))  # nothing was written to it since
    assert [source for _, source, _ in told(settings, Wanted(model="wine", since=200.55))] == ["watch"]


def test_one_request_is_followed_from_the_gateway_to_its_server(settings: Settings) -> None:
    assert told(settings, Wanted(request=ID)) == [(200.5, "gateway", "POST /x 200"), (200.7, "revision-wine-3", "KeyError")]


def test_since_is_how_long_ago_or_a_time() -> None:
    assert since("", 1000.0) == 0.0
    assert (since("90s", 1000.0), since("2m", 1000.0), since("1h", 7200.0)) == (910.0, 880.0, 3600.0)
    assert since("1970-01-01T01:00", 0.0) == since("1970-01-01T02:00+01:00", 0.0) == 3600.0
    with pytest.raises(InputError, match="SINCE: 'yesterday' is no time"):
        since("yesterday", 0.0)


def test_what_a_caller_puts_into_a_path_moves_no_cursor(settings: Settings) -> None:
    (record, *_) = records(files(settings), Wanted())
    assert "\x1b" not in shown(replace(record, message="/v2/\x1b[2J\nfake line"))
