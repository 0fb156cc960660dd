"""When a step runs again: whatever it reads is in its fingerprint, and a large file is read once for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from include.kinds.requests import request_of
from include.steps.context import StepRequest
from include.targets.fingerprint import SMALL_BYTES, Digests, fingerprint

TABLE = "name: wine\ntask: regression\ndata: {source: SOURCE, target: y}\n"
CHAT = "kind: llm\nname: wine\nbase: tiny\ndata: {source: chats.jsonl}\n"
LONG_AGO = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "wine"
    (folder / "tiny").mkdir(parents=True)
    files = {"train.py": "def train(X, y, params): ...\n", "data.py": "def load(): ...\n", "expectations.yaml": "[]\n"}
    files |= {"rows.csv": "y\n1\n", "chats.jsonl": "{}\n", "tiny/config.json": "{}", "tiny/model.safetensors": "1", "notes.txt": "n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def request(folder: Path, spec: str, step: str, **inputs: str) -> StepRequest:
    (folder / "model.yaml").write_text(spec)
    return request_of(folder / "model.yaml", step, **inputs)


CASES: list[tuple[str, str, str, bool]] = [
    (TABLE.replace("SOURCE", "rows.csv"), "extract", "rows.csv", True),
    (TABLE.replace("SOURCE", "'data:load'"), "extract", "rows.csv", True),
    (TABLE.replace("SOURCE", "'data:load'"), "extract", "data.py", True),
    (TABLE.replace("SOURCE", "'data:load'"), "extract", "notes.txt", False),
    (TABLE.replace("SOURCE", "rows.csv"), "extract", "chats.jsonl", False),
    (TABLE.replace("SOURCE", "rows.csv"), "train", "rows.csv", False),
    (TABLE.replace("SOURCE", "rows.csv"), "train", "expectations.yaml", True),
    (TABLE.replace("SOURCE", "rows.csv"), "train", "model.yaml", False),
    (CHAT, "extract", "chats.jsonl", True),
    (CHAT, "base", "tiny/model.safetensors", True),
    (CHAT, "base", "chats.jsonl", False),
]


@pytest.mark.parametrize(("spec", "step", "changed", "again"), CASES, ids=lambda value: str(value)[:24])
def test_a_step_runs_again_when_what_it_reads_has_changed(folder: Path, tmp_path: Path, spec: str, step: str, changed: str, again: bool):
    asked, digests = request(folder, spec, step), Digests(tmp_path / "digests")
    before = fingerprint(asked, "lock", digests)
    assert fingerprint(asked, "lock", digests) == before
    (folder / changed).write_text((folder / changed).read_text() + "# more\n")
    assert (fingerprint(asked, "lock", digests) != before) is again


def test_an_input_of_the_same_name_with_other_content_is_another_input(folder: Path, tmp_path: Path):
    """An earlier task was cleared, and has written its result to the same place."""
    table, digests = tmp_path / "table.parquet", Digests(tmp_path / "digests")
    table.write_text("one")
    asked = request(folder, TABLE.replace("SOURCE", "rows.csv"), "train", table=str(table))
    before = fingerprint(asked, "lock", digests)
    table.write_text("two")
    assert fingerprint(asked, "lock", digests) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: replace(asked, params={"c": 2}),
        lambda asked: replace(asked, inputs={"table": "/elsewhere"}),
        lambda asked: replace(asked, spec=asked.spec | {"description": "another"}),
        lambda asked: replace(asked, workers=2),
    ],
)
def test_another_request_is_another_step(folder: Path, tmp_path: Path, change: Callable[[StepRequest], StepRequest]):
    asked, digests = request(folder, TABLE.replace("SOURCE", "rows.csv"), "train"), Digests(tmp_path / "digests")
    assert fingerprint(change(asked), "lock", digests) != fingerprint(asked, "lock", digests)
    assert fingerprint(asked, "another lock", digests) != fingerprint(asked, "lock", digests)
    assert fingerprint(replace(asked, run_key="another/run"), "lock", digests) == fingerprint(asked, "lock", digests)


def large(path: Path, byte: bytes = b"a") -> Path:
    path.write_bytes(byte * (SMALL_BYTES + 1))
    return path


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands an hour on: what was written now has rested."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3600 * 10**9)


def forge(folder: Path) -> None:
    """Make every kept digest one that no file has."""
    for kept in folder.iterdir():
        kept.write_text(kept.read_text().replace('"sha256": "', '"sha256": "kept-'))


def test_a_large_file_is_read_once(tmp_path: Path, rested: None):
    digests, path = Digests(tmp_path / "digests"), large(tmp_path / "model.bin")
    digests.of(path)
    forge(tmp_path / "digests")
    assert digests.of(path).startswith("kept-")


def test_a_large_file_that_was_written_just_now_is_read_again(tmp_path: Path):
    digests, path = Digests(tmp_path / "digests"), large(tmp_path / "model.bin")
    before = digests.of(path)
    assert not (tmp_path / "digests").exists() and digests.of(path) == before


def test_a_large_file_with_forged_times_is_read_again(tmp_path: Path, rested: None):
    digests, path = Digests(tmp_path / "digests"), large(tmp_path / "model.bin")
    os.utime(path, (LONG_AGO, LONG_AGO))
    before = digests.of(path)
    large(path, b"b")
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert digests.of(path) != before


def test_a_folder_is_its_files_and_their_names(tmp_path: Path):
    digests, folder = Digests(tmp_path / "digests"), tmp_path / "base"
    folder.mkdir()
    assert digests.of(tmp_path / "nothing") == ""
    (folder / "a").write_text("1")
    one = digests.of(folder)
    for hidden in (".cache", "__pycache__"):
        (folder / hidden).mkdir()
        (folder / hidden / "x").write_text("x")
    assert digests.of(folder) == one
    (folder / "a").rename(folder / "b")
    assert digests.of(folder) != one
