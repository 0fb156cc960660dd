"""A step's word of a checkpoint, and who reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.runtime.settings import Settings
from include.steps.checkpoints import FILE, VARIABLE, saved
from include.targets.process import ProcessTarget
from include.targets.target import step_of


def test_each_word_differs_and_lies_among_the_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UPDRAFT_CHECKPOINTS", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    said = set()
    for _ in range(3):
        saved()
        said.add((tmp_path / FILE).read_text())
    assert len(said) == 3 and [path.name for path in tmp_path.iterdir()] == [FILE]


def test_where_nobody_listens_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("UPDRAFT_CHECKPOINTS", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    saved()


def test_whoever_follows_the_step_reads_it_and_no_more_of_it_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target: Any = ProcessTarget(replace(Settings.load(), home=tmp_path))
    step = step_of(replace(Settings.load(), home=tmp_path), "dag/run", "llm.train")
    assert target.saved(step) == ""
    step.folder.mkdir(parents=True)
    (step.folder / "fingerprint").write_text("a" * 64)
    kept = step.folder.parent / "checkpoints" / f"llm.train-{'a' * 12}"
    kept.mkdir(parents=True)
    monkeypatch.setenv("UPDRAFT_CHECKPOINTS", str(kept))
    saved()
    first = target.saved(step)
    assert first and target.saved(step) == first
    (kept / FILE).write_bytes(b"\xff" * 10_000)
    assert len(target.saved(step)) == 64
    (step.folder / "fingerprint").write_text("../../../../etc/")
    assert target.saved(step) == ""
    (kept / FILE).unlink()
    (kept / FILE).symlink_to("/etc/hostname")
    (step.folder / "fingerprint").write_text("a" * 64)
    assert target.saved(step) == ""
