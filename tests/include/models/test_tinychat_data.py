"""The shipped chats keep the built-in expectations, and every task is asked on both sides of the split."""

import importlib.util
from pathlib import Path

import pytest

from include.data import chat_profile, chats
from include.data.chats import Row
from include.kinds.load import load_as
from include.runtime.settings import REPO
from include.spec.llm import LlmSpec
from include.verdict import Decision

FOLDER = REPO / "include" / "models" / "tinychat"
SPEC = load_as(FOLDER / "model.yaml", LlmSpec)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    spec = importlib.util.spec_from_file_location("tinychat_data", FOLDER / "data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return chats.write(chats.of(module.load(), SPEC.data.source), tmp_path / "chats.jsonl", SPEC.data.test_fraction)


def test_the_chats_keep_the_built_in_expectations(rows: list[Row], tmp_path: Path) -> None:
    profile = tmp_path / "chats.parquet"
    characters = [(sum(len(message["content"]) for message in row.messages), len(row.answer)) for row in rows]
    chat_profile.describe(rows, characters).to_parquet(profile)  # a token is at least a character of these
    verdict = chat_profile.check(profile, SPEC.data, FOLDER, tmp_path / "docs", name=SPEC.name)
    assert verdict.decision is Decision.PASS
    assert not any(not rule.passed for rule in verdict.rules), verdict.reasons


def test_every_task_is_judged_by_enough_held_out_chats(rows: list[Row]) -> None:
    tasks = {row.task for row in rows}
    held_out = {task: sum(row.task == task and row.split == "eval" for row in rows) for task in tasks}
    assert len(tasks) > 1 and min(held_out.values()) >= 10 and sum(held_out.values()) >= 100, held_out
