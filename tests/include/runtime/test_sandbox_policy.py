"""The code that steps see is that of the checkout that starts them, whichever used the home before."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.runtime.sandbox import policy
from include.runtime.settings import REPO, Settings


def test_a_checkout_that_has_moved_takes_its_code_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home", runtimes=tmp_path, port_base=1)
    before = tmp_path / "old" / "include"
    for part in ("steps", "kinds"):
        (before / part).mkdir(parents=True)
    monkeypatch.setattr(policy, "REPO", before.parent)
    folder, _ = policy.code(settings)
    assert (folder / "include" / "steps").readlink() == before / "steps"
    monkeypatch.setattr(policy, "REPO", REPO)
    (before.parent).rename(tmp_path / "gone")
    for _ in range(2):  # the second finds it as it is to be
        folder, readable = policy.code(settings)
        assert (folder / "include" / "steps").resolve() == REPO / "include" / "steps" and str(REPO / "include" / "kinds") in readable
    assert not list((folder / "include").glob(".*"))
