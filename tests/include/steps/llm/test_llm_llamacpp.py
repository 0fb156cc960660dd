"""llama.cpp as a step asks it: it is there for as long as the step is, and no longer."""

import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from include.runtime.settings import REPO, Settings
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import Taught
from tests.waiting import until

pytestmark = pytest.mark.integration
PROGRAM = """
import sys, time
from pathlib import Path
from include.backends.llamacpp.client import served

with served(Path(sys.argv[1]), 128, 1) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


def up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_step_that_is_killed_leaves_no_server_behind(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    optimized = Taught.make(tmp_path / "one", llm, mlflow).optimize()
    command = [str(Settings.load().python("llm")), "-c", PROGRAM, str(optimized.out / "q4_0.gguf")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    step = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = step.stdout.readline().strip()
        assert up(url)
    finally:
        step.kill()
        step.wait()
    until(lambda: not up(url), 60)
