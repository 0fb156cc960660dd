"""What is taken is kept within its bounds, without what it must not hold, on a full disk too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.predictions import journal, read
from include.predictions.keeper import GIB, LEAST_FREE_BYTES, Keeper, Plan, surplus
from include.predictions.segments import MOST_NAMES, to_parquet
from include.predictions.store import Segment, store
from include.runtime.settings import Settings
from include.spec.schema import PredictionLog
from tests.include.predictions.rows import NOON, row
from tests.include.predictions.test_exchange import CHAT, ONE, tensor, told

ALL = Plan(PredictionLog(share=1))
PLENTY = 10 * LEAST_FREE_BYTES


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def keeper(settings, said) -> Keeper:
    return Keeper(settings.prediction_log, store(settings.predictions), b"secret", say=said.append, free=lambda path: PLENTY)


def take(keeper: Keeper, *facts, plan: Plan = ALL) -> None:
    keeper.take(facts, {"wine": plan}, lambda model, version: ("alcohol", "ash"))


def many(count: int, **changed: str) -> list[dict[str, str]]:
    return [told(ONE, id=f"i{number}", **changed) for number in range(count)]


def test_what_is_taken_is_there_at_once_and_becomes_parquet(keeper, settings):
    take(keeper, *many(3))
    assert len(read(settings, "wine")) == 3 and keeper.counts.kept == 3
    assert keeper.turn() is None and keeper.turn(now=True) is not None
    keeper.convert()
    assert len(read(settings, "wine")) == 3 and not journal.journals(settings.prediction_log)


def test_models_that_are_not_logged_are_passed_over(keeper, settings):
    keeper.take(many(1), {}, lambda model, version: ())
    take(keeper, *many(1), plan=Plan(PredictionLog()))
    assert read(settings, "wine").empty and keeper.counts.lost == {}


def test_the_first_of_a_minute_are_kept_and_copies_counted_by_themselves(keeper, settings):
    plan = Plan(PredictionLog(share=1, per_minute=2))
    take(keeper, *many(4), *many(4, kind="mirror"), plan=plan)
    take(keeper, *many(4, time="1796069866.5"), plan=plan)
    frame = read(settings, "wine")
    assert sorted(frame["kind"]) == ["live", "live", "mirror", "mirror"] and keeper.counts.over == 6


def test_what_is_redacted_or_hashed_is_never_written(keeper, settings, tmp_path):
    plan = Plan(PredictionLog(share=1, redact=("ash", "outputs.label"), hash=("alcohol", "key")))
    answer = {"outputs": [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["purple"]}]}
    take(keeper, told(ONE, answer), told(ONE, answer, id="j"), plan=plan)
    frame = read(settings, "wine")
    assert not {"inputs.ash", "outputs.label"} & set(frame.columns)
    assert frame["inputs.alcohol"].nunique() == 1 and len(frame["inputs.alcohol"][0]) == 32 == len(frame["key"][0])
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"purple" not in written and b"shop" not in written and b"2.5" not in written.replace(b'"latency_ms": 2.5', b"")


def test_one_callers_odd_request_costs_nobody_elses_row(keeper, settings):
    """Each of these once ended the whole journal, or the process that makes Parquet of it."""
    odd = [
        '{"messages": ' + "[" * 980 + "]" * 980 + "}",
        '{"prompt": "\\ud800"}',
        json.dumps({f"n{number}": number for number in range(9000)}),
    ]
    take(keeper, *many(2), *(told(body, id=f"odd{number}", path=CHAT) for number, body in enumerate(odd)), *many(1))
    keeper.turn(now=True)
    keeper.convert()
    assert set(read(settings, "wine")["id"]) == {"i0", "i1", "odd0", "odd1", "odd2"} and not journal.journals(settings.prediction_log)


def test_a_file_has_no_more_columns_than_can_be_read(settings):
    rows = [row(number, inputs={f"n{number}.{part}": 1 for part in range(MOST_NAMES // 4)}, outputs={}) for number in range(8)]
    journal.keep(settings.prediction_log, store(settings.predictions), rows)
    found = read(settings, "wine")
    assert len(found) == 8 and sum(name.startswith("inputs.") for name in found) == MOST_NAMES


def test_personal_data_in_chats_are_masked(keeper, settings):
    question = {"messages": [{"role": "user", "content": "I am anna@firma.de, +49 170 1234567"}]}
    answer = {"choices": [{"index": 0, "message": {"content": "Hello anna@firma.de"}, "finish_reason": "stop"}]}
    take(keeper, told(question, answer, path=CHAT), plan=replace(ALL, chat=True))
    frame = read(settings, "wine")
    assert frame["inputs.messages"][0][0]["content"] == "I am [emails], [phones]" and frame["outputs.text"][0] == "Hello [emails]"


def test_what_is_not_understood_costs_nothing_but_itself(keeper, settings):
    take(keeper, told(ONE, time="?"), *many(1), {"kind": "live"})
    assert len(read(settings, "wine")) == 1 and sum(keeper.counts.lost.values()) == 2


def test_a_full_disk_is_counted_said_once_and_over_when_there_is_room(keeper, settings, said, monkeypatch):
    write, full = os.write, True

    def tight(file, data):
        if full:
            write(file, data[:10])
            raise OSError(28, "No space left on device")
        return write(file, data)

    take(keeper, *many(1))
    monkeypatch.setattr(journal.os, "write", tight)
    for _ in range(2):
        take(keeper, *many(2))
    assert keeper.counts.kept == 1 and sum(keeper.counts.lost.values()) == 4 and len(said) == 1 and "No space left" in said[0]
    full = False
    keeper.look()
    take(keeper, told(ONE, id="later"))
    assert list(read(settings, "wine")["id"]) == ["i0", "later"]


def test_the_last_of_a_disk_is_left_to_others(settings, said):
    left = [LEAST_FREE_BYTES - 1]
    keeper = Keeper(settings.prediction_log, store(settings.predictions), b"s", say=said.append, free=lambda path: left[0])
    keeper.look()
    take(keeper, *many(3))
    assert read(settings, "wine").empty and keeper.counts.lost == {"has less than 256 MiB of disk left": 3}
    left[0] = PLENTY
    keeper.look()
    take(keeper, *many(1))
    assert len(read(settings, "wine")) == 1


def test_a_store_that_fails_keeps_its_journals_waiting(settings, said, monkeypatch):
    keeper = Keeper(settings.prediction_log, store(str(settings.home / "file" / "below")), b"s", say=said.append, free=lambda path: PLENTY)
    (settings.home / "file").write_text("no folder")
    take(keeper, *many(2))
    keeper.turn(now=True)
    keeper.convert()
    assert len(journal.journals(settings.prediction_log)) == 1 and "is not Parquet yet" in said[0]
    monkeypatch.setattr("include.predictions.keeper.MOST_WAITING_BYTES", 10)
    keeper.look()
    take(keeper, *many(2))
    assert keeper.counts.lost == {"waits for its store, with as much as it may hold": 2}


KILLED = """
import os, sys
from pathlib import Path
from include.predictions.keeper import Keeper
from include.predictions.store import store
from tests.include.predictions.test_keeper import many, take
home = Path(sys.argv[1])
keeper = Keeper(home / "prediction-log", store(str(home / "predictions")), b"s", free=lambda path: 2**40)
for number in range(10**6):
    take(keeper, *[{**facts, "id": f"{number}-{facts['id']}"} for facts in many(5)])
    print(number, flush=True)  # acknowledged
    if number % 7 == 6:
        keeper.turn(now=True)
        keeper.convert()
"""


def test_a_kill_loses_nothing_that_was_acknowledged(settings):
    """Killed while it writes and converts; what is there afterwards is what it had acknowledged, and at most the batch under way."""
    command = [sys.executable, "-c", KILLED, str(settings.home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [line for line, _ in zip(process.stdout, range(40), strict=False)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.wait()
    batches = len([line for line in acknowledged if line.endswith("\n")])
    again = Keeper(settings.prediction_log, store(settings.predictions), b"s", free=lambda path: PLENTY)
    assert len(read(settings, "wine")) in (5 * batches, 5 * batches + 5)
    again.convert()
    frame = read(settings, "wine")
    assert len(frame) in (5 * batches, 5 * batches + 5) and frame["id"].is_unique and not journal.journals(settings.prediction_log)


def segment(hours: int, size: int = 0) -> Segment:
    return Segment(NOON - timedelta(hours=hours), "wine", 1, f"s{hours}", size)


def test_the_oldest_go_first_by_age_and_by_size():
    segments = sorted(segment(hours, GIB) for hours in range(5))
    assert surplus(segments, PredictionLog(keep_gib=5), NOON) == []
    assert {found.stem for found in surplus(segments, PredictionLog(keep_gib=3), NOON)} == {"s3", "s4"}
    assert {found.stem for found in surplus(segments, PredictionLog(keep_gib=9, keep_days=2 / 24), NOON)} == {"s4"}


def test_what_is_too_much_is_dropped_from_the_store(keeper, settings):
    files = store(settings.predictions)
    for hours, model in ((0, "wine"), (48, "wine"), (24 * 31, "gone"), (1, "gone")):
        at = NOON - timedelta(hours=hours)
        one = row(hours, at=at, inputs={}, outputs={}, model=model)
        files.put(Segment(at, model, 1, "s"), to_parquet([one]))
    keeper.drop({"wine": Plan(PredictionLog(share=1, keep_days=1))}, datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert sorted((found.model, found.hour.day) for found in files.segments()) == [("gone", 31), ("wine", 31)]
    assert len(list(Path(settings.predictions).rglob("hour=*"))) == 2


def test_what_may_hide_a_redacted_input_is_left_out_too(keeper, settings):
    plan = replace(ALL, log=PredictionLog(share=1, redact=("ash",)))
    keeper.take([told(ONE, {"outputs": []})], {"wine": plan}, lambda model, version: ())  # which column is where is not known
    assert len(read(settings, "wine")) == 1
    assert [name for name in read(settings, "wine").columns if name.startswith("inputs.")] == []


def test_a_whole_number_that_no_float_is_beside_floats_puts_no_journal_aside(keeper, settings):
    for value in (2**53 + 1, 1.5):
        take(keeper, told({"inputs": [tensor("a", "INT64", [1, 1], [value])]}, {"outputs": []}, id=str(value)))
    keeper.turn(now=True)
    keeper.convert()
    assert len(read(settings, "wine")["inputs.a"].dropna()) == 2
    assert not list(settings.prediction_log.rglob("*.broken"))
