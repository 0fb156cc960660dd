"""The right answers of a trial's versions, out of real snapshots."""

import json
import stat

import pytest

from include.data import chats
from include.data.chats import prompt_id
from include.data.snapshot import snapshot
from include.data.store import DataStore
from include.errors import InputError
from include.release import references

ONE, TWO, THREE = ([{"role": "user", "content": text}] for text in ("1 + 1", "2 + 2", "3 + 3"))


class Registry:
    """As much of MLflow as is asked for: the tags of the run that made a version."""

    def __init__(self, md5s):
        self._md5s = md5s

    def version(self, model, version):
        if version not in self._md5s:
            raise InputError(f"{model} has no version {version}.")
        return {"run_id": f"run-{version}"}

    def tags(self, run_id):
        return {"updraft.data.md5": self._md5s[int(run_id.removeprefix("run-"))]}


@pytest.fixture
def store(tmp_path):
    return DataStore(tmp_path / "dvc", str(tmp_path / "remote"))


def kept(store, folder, answers):
    """The hash of a snapshot of chats."""
    rows = [{"id": prompt_id(prompt), "split": "train", "task": "sum", "messages": [*prompt, {"role": "assistant", "content": answer}]}
            for prompt, answer in answers]  # fmt: skip
    table = folder / "chats.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(chats.table(table)) == len(rows)
    return snapshot(table, store, name="talker").md5


def test_the_first_versions_answers_count_and_the_others_fill_in(store, tmp_path):
    first = kept(store, tmp_path, [(ONE, "2"), (TWO, "4"), (TWO, "four")])
    second = kept(store, tmp_path, [(ONE, "3"), (TWO, "5"), (THREE, "6")])
    path = references.path_of(tmp_path / "trials", "talker")
    assert references.gather(Registry({1: first, 2: second}), store, "talker", (1, 2), path) == []
    assert [references.of_prompt(path, prompt_id(prompt)) for prompt in (ONE, TWO, THREE)] == [["2"], ["4", "four"], ["6"]]
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path.parent, path)] == [0o700, 0o600]
    assert list(path.parent.iterdir()) == [path]


def test_a_version_whose_snapshot_is_gone_is_said_and_the_other_serves(store, tmp_path):
    second = kept(store, tmp_path, [(THREE, "6")])
    path = references.path_of(tmp_path / "trials", "talker")
    [problem] = references.gather(Registry({1: "0" * 32, 2: second}), store, "talker", (1, 2), path)
    assert problem.startswith("The chats of version 1 can't be had")
    assert references.of_prompt(path, prompt_id(THREE)) == ["6"]


def test_without_a_file_nothing_is_known(tmp_path):
    assert references.of_prompt(tmp_path / "talker.db", prompt_id(ONE)) == []
