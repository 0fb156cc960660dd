"""The first process of a step's container, around real steps."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.runtime.settings import REPO, Settings
from include.steps import contained, lease
from tests.waiting import until

pytestmark = pytest.mark.integration

SOURCES = {
    "quick": "import pandas as pd\ndef load():\n    print('a line', flush=True)\n"
    "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})",
    "slow": "import time\ndef load():\n    print('begun', flush=True)\n    time.sleep(600)",
    "saves": "import time\ndef load():\n    print('begun', flush=True)\n    try:\n        time.sleep(600)\n    finally:\n"
    "        print('saved', flush=True)",
    "killed": "import os\ndef load():\n    os.kill(os.getpid(), 9)",
    "leaves": "import subprocess\ndef load():\n    subprocess.Popen(['sleep', '30'], start_new_session=True)\n    raise KeyError('gone')",
}
MODEL = "name: {name}\ntask: classification\ndata: {{source: 'data:load', target: y}}\n"


@pytest.fixture
def start(tmp_path) -> Iterator:
    running: list[subprocess.Popen[str]] = []

    def started(kind: str, folder: Path | None = None) -> tuple[subprocess.Popen[str], Path]:
        model, folder = tmp_path / kind, folder or tmp_path / "step"
        model.mkdir()
        (model / "model.yaml").write_text(MODEL.format(name=kind))
        for name, text in {"data.py": SOURCES[kind], "train.py": "def train(X, y, params): ...\n", "expectations.yaml": "[]\n"}.items():
            (model / name).write_text(text)
        if folder.parent == tmp_path:
            from include.kinds.requests import request_of

            folder.mkdir(exist_ok=True)
            request_of(model / "model.yaml", "extract", f"{kind}/1").save(folder)
        command = [str(Settings.load().python("trainer")), "-m", "include.steps.contained", str(folder)]
        running.append(subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True, start_new_session=True))
        return running[-1], folder

    yield started
    for process in running:
        process.terminate()  # passed on to the step
        process.wait(60)


def log(folder: Path) -> str:
    path = folder / contained.LOG
    return path.read_text() if path.exists() else ""


def test_what_a_step_prints_is_in_its_folder_and_in_the_containers_log(start):
    process, folder = start("quick")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and (folder / "result.json").exists()
    assert "a line" in printed and printed == log(folder)


def test_sigterm_ends_the_step(start):
    process, folder = start("slow")
    until(lambda: "begun" in log(folder), 120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


def test_asked_to_stop_by_a_file_a_step_under_a_lease_saves(start, tmp_path):
    (tmp_path / "step").mkdir()
    lease.renew(tmp_path / "step", "l1", time.monotonic() + 600)
    process, folder = start("saves")
    until(lambda: "begun" in log(folder), 120)
    contained.ask_to_stop(folder)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert "Told to stop" in log(folder) and "saved" in log(folder)


def test_a_killed_step_is_told_as_shells_tell_it(start):
    process, _ = start("killed")
    assert process.wait(120) == 128 + signal.SIGKILL


def test_what_the_step_leaves_behind_holds_nobody_up(start):
    process, folder = start("leaves")
    assert process.wait(120) == 1
    assert "gone" in log(folder)


def test_a_folder_that_is_not_there_is_told_in_the_containers_log(start, tmp_path):
    process, _ = start("quick", tmp_path / "no" / "step")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"{tmp_path}/no/step" in printed and "No such file" in printed


def test_a_folder_that_cannot_be_written_costs_the_log_alone(start, tmp_path):
    folder = tmp_path / "step"
    folder.mkdir()
    os.symlink("/dev/full", folder / contained.LOG)
    process, _ = start("quick")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "a line" in printed
