"""Specs as a program knows them that runs for days."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from include.kinds.known import SPECS_S, Specs
from include.runtime.settings import REPO


def test_a_model_that_was_broken_by_another_file_is_known_once_that_is_mended(tmp_path: Path) -> None:
    """Nobody touches model.yaml when a line of requirements.txt is mended."""
    shutil.copytree(REPO / "include" / "models" / "digits", tmp_path / "digits")
    wrong = tmp_path / "digits" / "requirements.txt"
    wrong.write_text("humanize\n")
    specs = Specs(tmp_path)
    assert specs.get(0.0) == {}
    wrong.unlink()
    assert list(specs.get(SPECS_S)) == ["digits"]
    wrong.write_text("humanize\n")
    assert list(specs.get(2 * SPECS_S)) == ["digits"], "broken again, it counts as it was"


def test_who_asks_while_they_are_first_read_waits_for_them(tmp_path: Path) -> None:
    """A model that were not known for that moment would be told to be none, or to be of no team."""
    shutil.copytree(REPO / "include" / "models" / "digits", tmp_path / "digits")
    specs, together = Specs(tmp_path), Barrier(8)

    def ask(_: int) -> list[str]:
        together.wait()
        return list(specs.get(0.0))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [["digits"]] * 8
