"""Which requests are in the log, by their ids."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.errors import ComponentError
from include.predictions import known
from include.predictions.journal import Journal, keep
from include.predictions.store import store
from include.runtime.settings import Settings
from tests.include.predictions.rows import NOON, row


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


def identity(number: int, at=NOON) -> str:
    milliseconds = f"{int(at.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"


def test_answers_are_found_in_journals_and_files_and_of_copies_and_others_none_is(settings):
    kept = [row(0, inputs={}, outputs={"label": number}) | {"id": identity(number)} for number in range(3)]
    other = [row(0, inputs={}, outputs={"label": 9}) | {"id": identity(3), "model": "beer"}]
    copies = [row(0, inputs={}, outputs={"label": 9}) | {"id": identity(4), "kind": "mirror"}]
    keep(settings.prediction_log, store(settings.predictions), kept[:2] + copies)
    Journal(settings.prediction_log).append(kept[2:] + other + copies)
    wanted = {identity(number) for number in range(1, 6)} | {"nonsense"}
    assert known.answers(settings, "wine", wanted) == {identity(1): 1, identity(2): 2}


def test_a_torn_file_holds_nothing(settings):
    keep(settings.prediction_log, store(settings.predictions), [row(0, inputs={}, outputs={"label": 1}) | {"id": identity(0)}])
    (path,) = Path(settings.predictions).rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-5])
    assert known.answers(settings, "wine", {identity(0)}) == {}


def test_ids_of_too_many_hours_are_refused_before_a_file_is_read(settings, monkeypatch):
    moments = [NOON + timedelta(minutes=10) - timedelta(hours=hour) for hour in range(3)]
    rows = [row(0, at=at, inputs={}, outputs={"label": 1}) | {"id": identity(0, at)} for at in moments]
    keep(settings.prediction_log, store(settings.predictions), rows)
    monkeypatch.setattr(known, "MOST_FILES", 2)
    with pytest.raises(known.TooSpread, match="3 files"):
        known.answers(settings, "wine", {identity(0, at) for at in moments})
    assert len(known.answers(settings, "wine", {identity(0, at) for at in moments[:2]})) == 2


def test_one_question_is_looked_up_at_a_time(settings, monkeypatch):
    monkeypatch.setattr(known, "WAIT_S", 0.0)
    with known._TURN, pytest.raises(ComponentError, match="Ask again"):
        known.answers(settings, "wine", {identity(0)})
    assert known.answers(settings, "wine", {identity(0)}) == {}
