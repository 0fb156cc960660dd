"""What is kept is read back as it was, by time and version, whatever was killed in between."""

from __future__ import annotations

import logging
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.predictions import read
from include.predictions.__main__ import main
from include.predictions.journal import Journal, convert, journals, keep
from include.predictions.store import Folder, store
from include.runtime.settings import Settings
from tests.include.predictions.rows import NOON, row


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


def kept(settings: Settings, *rows) -> None:
    keep(settings.prediction_log, store(settings.predictions), rows)


def wine(number: int, **changed):
    return row(number, **{"inputs": {"alcohol": 13.0 + number}, "outputs": {"label": "red", "probabilities": [0.25, 0.75]}} | changed)


def test_rows_come_back_by_time_with_their_types(settings):
    kept(settings, wine(2, at=NOON + timedelta(minutes=1)), wine(1))
    frame = read(settings, "wine")
    columns = ["id", "time", "version", "key", "kind", "latency_ms", "status", "inputs.alcohol", "outputs.label", "outputs.probabilities"]
    assert list(frame.columns) == columns and list(frame["id"]) == ["id-1", "id-2"]
    assert frame["time"][0] == NOON and str(frame["time"].dtype).endswith("UTC]")
    assert frame["inputs.alcohol"].dtype == float and frame["outputs.probabilities"][0] == [0.25, 0.75]


def test_a_model_without_a_log_has_an_empty_frame_of_the_same_columns(settings):
    frame = read(settings, "wine")
    assert frame.empty and {"id", "time", "version", "status"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [(None, None, [0, 1, 2, 3]), (60, None, [1, 2, 3]), (None, 60, [0]), (59, 121, [1, 2]), (200, None, [])],
)
def test_a_span_of_time_begins_with_since_and_ends_before_until(settings, since, until, found):
    kept(settings, *(wine(number, at=NOON + timedelta(minutes=60 * number)) for number in range(4)))
    at = [None if minutes is None else NOON + timedelta(minutes=minutes) for minutes in (since, until)]
    assert list(read(settings, "wine", *at)["id"]) == [f"id-{number}" for number in found]


def test_versions_and_models_are_told_apart(settings):
    kept(settings, wine(1), wine(2, version=2), wine(3, model="beer"))
    assert list(read(settings, "wine", versions=[2])["id"]) == ["id-2"]
    assert list(read(settings, "wine")["version"]) == [1, 2]


def test_what_is_no_parquet_yet_is_read_as_well_and_nothing_twice(settings):
    kept(settings, wine(1))
    journal = Journal(settings.prediction_log)
    journal.append([wine(1), wine(2), wine(3, model="beer")])
    assert list(read(settings, "wine")["id"]) == ["id-1", "id-2"]


def test_copies_share_the_id_of_their_original(settings):
    kept(settings, wine(1), wine(1, kind="mirror", version=2))
    assert sorted(read(settings, "wine")["kind"]) == ["live", "mirror"]


def test_columns_may_come_and_go_and_change_their_type(settings):
    kept(settings, wine(1), wine(2, inputs={"alcohol": "13 %", "ash": None}))
    kept(settings, wine(3, inputs={"ash": 2}))
    frame = read(settings, "wine").set_index("id")
    assert list(frame["inputs.alcohol"][:2]) == [14.0, "13 %"] and frame["inputs.ash"]["id-3"] == 2
    assert frame["inputs.alcohol"].isna()["id-3"]


def test_chats_come_back_as_they_were(settings):
    messages = [{"role": "user", "content": "Hello \u00fc"}, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]
    kept(settings, wine(1, inputs={"messages": messages}, outputs={"text": "Hi"}))
    assert read(settings, "wine")["inputs.messages"][0] == messages


def test_a_torn_file_is_left_out_and_said(settings, caplog):
    kept(settings, wine(1))
    kept(settings, wine(2))
    torn, _ = sorted(Path(settings.predictions).rglob("*.parquet"))
    torn.write_bytes(torn.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert len(read(settings, "wine")) == 1
    assert torn.name in caplog.text


def test_the_end_of_a_line_that_a_kill_cut_is_nobodys_row(settings):
    journal = Journal(settings.prediction_log)
    journal.append([wine(1)])
    with journal.path.open("a") as file:
        file.write('{"id": "id-2", "ti')
    assert list(read(settings, "wine")["id"]) == ["id-1"]
    assert convert(journal.path, store(settings.predictions)) == 1 and not journals(settings.prediction_log)
    assert list(read(settings, "wine")["id"]) == ["id-1"]


def test_a_conversion_that_was_killed_is_done_again_without_a_second_copy(settings, monkeypatch):
    journal = Journal(settings.prediction_log)
    journal.append([wine(1), wine(2, version=2)])
    journal.close()
    puts, put = [], Folder.put

    def killed(self, segment, data):
        if puts:
            raise KeyboardInterrupt
        puts.append(segment)
        put(self, segment, data)

    monkeypatch.setattr(Folder, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        convert(journal.path, store(settings.predictions))
    monkeypatch.undo()
    assert len(read(settings, "wine")) == 2
    convert(journal.path, store(settings.predictions))
    assert len(read(settings, "wine")) == 2 and len(list(Path(settings.predictions).rglob("*.parquet"))) == 2


def test_all_of_it_is_its_owners_alone(settings):
    kept(settings, wine(1))
    Journal(settings.prediction_log)
    found = [path for root in (Path(settings.predictions), settings.prediction_log) for path in (root, *root.rglob("*"))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o700, 0o600}


def test_the_command_prints_or_writes_a_file(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UPDRAFT_HOME", str(settings.home))
    kept(settings, wine(1))
    assert main(["read", "wine"]) == 0 and "id-1" in capsys.readouterr().out
    assert main(["read", "wine", "--since", "2026-02-01", "--out", str(tmp_path / "out.parquet")]) == 0
    assert (tmp_path / "out.parquet").exists() and capsys.readouterr().out.startswith("0 rows")


@pytest.mark.parametrize("wrong", [["--since", "yesterday"], ["--out", "/nowhere/at/all.parquet"]])
def test_bad_options_are_told(settings, monkeypatch, capsys, wrong):
    monkeypatch.setenv("UPDRAFT_HOME", str(settings.home))
    assert main(["read", "wine", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err


def test_large_whole_numbers_stay_what_they_were_beside_rows_without_them(settings):
    order = 2**53 + 1
    kept(settings, wine(1, inputs={"order": order}), wine(2, inputs={}))
    kept(settings, wine(3, at=NOON + timedelta(hours=1), inputs={"order": 7}), wine(4, at=NOON + timedelta(hours=1), inputs={}))
    kept(settings, wine(5, at=NOON + timedelta(hours=2), inputs={}))
    found = read(settings, "wine")
    assert dict(zip(found["id"], found["inputs.order"].astype(object).where(found["inputs.order"].notna(), None), strict=True)) == {
        "id-1": order,
        "id-2": None,
        "id-3": 7,
        "id-4": None,
        "id-5": None,
    }
