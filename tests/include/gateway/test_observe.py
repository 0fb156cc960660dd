import json

import pytest

from include.gateway.observe import Cursor, Entry, arm, end_of, read_entries

LINE = {
    "time": "1795226598.5",
    "kind": "live",
    "client": "demo",
    "model": "digits",
    "revision": "2",
    "served_by": "2",
    "path": "/v2/models/digits/infer",
    "status": 200,
    "flags": "-",
    "attempts": 1,
    "upstream_us": 1500,
}


def line(**changes):
    return (json.dumps(LINE | changes) + "\n").encode()


def entry(**changes):
    return Entry.parse(line(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500},
        {"status": 503, "flags": "UH", "served_by": None, "attempts": 0},
        {"status": 503, "flags": "UC"},
        {"status": 504, "flags": "UT"},
        {"status": 0, "flags": "UPE"},
        {"status": 200, "flags": "UC"},
        {"attempts": 2},
        {"attempts": 2, "served_by": "1"},
        {"served_by": "1"},
    ],
)
def test_these_are_the_revisions_errors(changes):
    assert entry(**changes).error


@pytest.mark.parametrize(
    "changes", [{}, {"status": 400}, {"status": 501}, {"status": 413, "served_by": None}, {"status": 0, "flags": "DC", "served_by": None}]
)
def test_these_are_not(changes):
    assert not entry(**changes).error


def test_an_arm_counts_its_own_live_inferences_only():
    entries = [
        entry(),
        entry(status=500),
        entry(revision="1", served_by="1"),
        entry(kind="probe"),
        entry(kind="mirror"),
        entry(model="other"),
        entry(path="/v2/models/digits/ready"),
        entry(status=400),
        entry(status=429, served_by=None),
    ]
    seen = arm(entries, "digits", "2")
    assert (seen.requests, seen.errors, seen.latencies.n) == (2, 1, 1)
    assert seen.refused == 1, "the gateway's own refusals are not the revision's"


def test_latencies_are_milliseconds_of_the_upstream():
    assert arm([entry(upstream_us=2500)], "digits", "2").latencies.quantile(0.5) == pytest.approx(2.5, rel=0.02)


def test_a_language_models_latency_is_that_to_its_first_byte():
    chat = entry(path="/v1/chat/completions", upstream_us=900_000, first_byte_us=20_000)
    assert arm([chat], "digits", "2").latencies.quantile(0.5) == pytest.approx(20, rel=0.02)


def test_a_line_of_a_gateway_that_counted_no_tokens_is_read():
    assert (entry().prompt_tokens, entry(prompt_tokens=3.0).prompt_tokens) == (None, 3)


def test_only_what_is_new_is_read(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(line())
    cursor = end_of(log)
    with log.open("ab") as handle:
        handle.write(line(status=500))
    entries, cursor = read_entries(log, cursor)
    assert [found.status for found in entries] == [500]
    assert read_entries(log, cursor)[0] == []


def test_half_a_line_waits_for_its_other_half(tmp_path):
    log = tmp_path / "log"
    text = line()
    log.write_bytes(text[:40])
    entries, cursor = read_entries(log, Cursor())
    assert entries == []
    log.write_bytes(text)
    assert len(read_entries(log, cursor)[0]) == 1


def test_a_spoilt_line_is_skipped(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b'{"time": "17' + b"\n" + line() + b"null\n")
    assert len(read_entries(log, Cursor())[0]) == 1


def test_a_cursor_survives_two_rotations(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(line(status=200))
    cursor = Cursor.from_json(json.loads(json.dumps(end_of(log).to_json())))
    with log.open("ab") as handle:
        handle.write(line(status=201))
    log.rename(tmp_path / "log.1")
    log.write_bytes(line(status=202))
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    log.rename(tmp_path / "log.1")
    log.write_bytes(line(status=203))
    entries, cursor = read_entries(log, cursor)
    assert [found.status for found in entries] == [201, 202, 203]
    assert read_entries(log, cursor)[0] == []


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    assert read_entries(tmp_path / "log", end_of(tmp_path / "log")) == ([], Cursor())


CHAT = {"path": "/v1/chat/completions", "upstream_us": 110_000, "first_byte_us": 10_000, "completion_tokens": 11, "finish_reason": "stop"}
STREAM = {**CHAT, "answered": "yes", "content_type": "text/event-stream"}


def test_a_streamed_answer_tells_how_long_a_token_takes():
    answers = arm([entry(**STREAM)], "digits", "2").answers
    assert (answers.ended, answers.bad) == (1, 0)
    assert answers.ttft.quantile(0.5) == answers.tpot.quantile(0.5) == pytest.approx(10, rel=0.02)
    assert answers.lengths.quantile(0.5) == pytest.approx(11, rel=0.02)


@pytest.mark.parametrize(
    "changes", [{"content_type": "application/json; charset=utf-8"}, {"completion_tokens": 5}, {"completion_tokens": None}]
)
def test_others_do_not(changes):
    assert arm([entry(**STREAM | changes)], "digits", "2").answers.tpot.n == 0


@pytest.mark.parametrize(
    ("changes", "bad"), [({}, 0), ({"finish_reason": "length"}, 1), ({"answered": None}, 1), ({"finish_reason": "abort"}, 1)]
)
def test_an_answer_cut_off_or_empty_is_a_bad_end(changes, bad):
    assert arm([entry(**STREAM | changes)], "digits", "2").answers.bad == bad


@pytest.mark.parametrize("changes", [{"finish_reason": None}, {"status": 500}, {"status": 400}])
def test_what_is_no_answer_has_no_end(changes):
    assert arm([entry(**STREAM | changes)], "digits", "2").answers.ended == 0


def test_a_file_that_has_only_got_the_number_of_one_that_is_gone_is_read_from_its_beginning(tmp_path):
    log = tmp_path / "access.jsonl"
    log.with_name("access.jsonl.1").write_bytes(line(client="older"))
    log.write_bytes(line(client="newer"))
    gone = Cursor(log.stat().st_ino, 64 * 1024 * 1024)
    entries, cursor = read_entries(log, gone)
    assert [one.client for one in entries] == ["older", "newer"] and cursor == end_of(log)
    assert read_entries(log, cursor) == ([], cursor)
