"""A run's step once more, by hand, on a copy of its request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.runtime.settings import REPO
from include.steps import rerun
from tests.include.steps import samples
from tests.include.steps.conftest import Workshop


def by_hand(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "include.steps", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPO, env=os.environ | {"PYTHONPATH": str(REPO)}, check=False)


@pytest.mark.integration
def test_a_step_runs_again_with_todays_code_on_the_runs_data_and_leaves_the_run_alone(workshop: Workshop, tmp_path: Path) -> None:
    model = workshop.model(samples.RIDGE, samples.diabetes(), task="regression", train={"params": {"alpha": 2.0}})
    ran = model.train()
    before = {path: path.read_bytes() for path in ran.out.parent.rglob("*") if path.is_file()}
    code = model.home / "thing" / "train.py"
    code.write_text(code.read_text() + "\nprint('changed code')\n")
    done = by_hand(ran.out.parent, "--into", tmp_path / "again", "--runtime", "trainer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed code" in done.stdout
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["metrics"] == ran.result["metrics"] and again["model"] == str(tmp_path / "again" / "out" / "model.skops")
    assert {path: path.read_bytes() for path in ran.out.parent.rglob("*") if path.is_file()} == before
    assert json.loads((tmp_path / "again" / "request.json").read_text())["inputs"]["mlflow_run_id"] != model.run_id


def test_a_folder_without_a_request_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerun.run([str(tmp_path)]) == 2
    assert f"{tmp_path}: holds no step's request" in capsys.readouterr().err


def test_nothing_of_anybody_elses_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = {"step": "table.train", "run_key": "d/r", "folder": "/nowhere", "spec": {}}
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "request.json").write_text(json.dumps(request))
    (tmp_path / "step" / "runtime").write_text("trainer")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for into in ("mine", "step"):  # the run's own folder neither
        assert rerun.run([str(tmp_path / "step"), "--into", str(tmp_path / into)]) == 2
        assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").exists() and (tmp_path / "step" / "runtime").exists()
