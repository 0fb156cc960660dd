"""The list of who did what, and what the command line notes for it."""

import csv
import io
import json

import pytest

from include.acts import outbox
from include.acts.audit import AuditLine, Wanted, as_csv, as_json_lines, chosen, detail_of

LINES = [
    AuditLine("2026-12-01T10:00:00.000000+00:00", "anna", "key made", "key", "demo", "", 3, '{"models": ["digits"]}'),
    AuditLine("2026-12-02T10:00:00.000000+00:00", "olaf", "hold set", "model", "digits", "=1+1"),
    AuditLine("2026-12-03T10:00:00.000000+00:00", "anna", "budget set", "budget", "team vision", "A pilot."),
]


@pytest.mark.parametrize(
    ("wanted", "acts"),
    [
        (Wanted(), ["budget set", "hold set", "key made"]),
        (Wanted(kind="key"), ["key made"]),
        (Wanted(who="anna"), ["budget set", "key made"]),
        (Wanted(name="digits"), ["hold set"]),
        (Wanted(text="DIGITS"), ["hold set", "key made"]),
        (Wanted(since="2026-12-02"), ["budget set", "hold set"]),
        (Wanted(until="2026-12-02"), ["key made"]),
        (Wanted(who="anna", kind="model"), []),
    ],
)
def test_lines_are_chosen_the_newest_first(wanted, acts):
    assert [line.act for line in chosen(LINES, wanted, 10)] == acts
    assert len(chosen(LINES, wanted, 1)) == min(1, len(acts))


def test_exports_have_every_field_and_no_formula():
    [first, *_] = csv.DictReader(io.StringIO(as_csv(LINES[1:2])))
    assert first["why"] == "'=1+1" and first["entry"] == ""
    assert [json.loads(line)["act"] for line in as_json_lines(LINES).splitlines()] == [line.act for line in LINES]
    assert detail_of({"kind": "key", "name": "x", "days": 3}) == '{"days": 3}' and detail_of({"kind": "key"}) == ""


def test_what_the_command_line_notes_is_there_until_it_is_taken(tmp_path):
    path = tmp_path / "acts" / "noted.jsonl"
    outbox.note(path, "key made", "key", "demo", models=["digits"])
    with path.open("a") as file:
        file.write('{"cut sho')
    outbox.note(path, "key revoked", "key", "demo")
    first = outbox.read(path)[0]
    assert (first.act, first.name, first.detail) == ("key made", "demo", {"models": ["digits"]}) and "(command line)" in first.who
    outbox.taken(path, [first.id])
    assert first.id not in {one.id for one in outbox.read(path)} and path.stat().st_mode & 0o777 == 0o600
