import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.platform import airflow
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from tests.ports import common_base


class Parsing:
    """Python that runs as Airflow's own processes do: with its configuration, a home of its own, and a folder of models."""

    def __init__(self, home: Path) -> None:
        self.settings = replace(Settings.load(), home=home / "h", port_base=common_base())
        self.models = home / "models"
        self.models.mkdir(parents=True)
        airflow.write(self.settings, Credentials.load_or_create(self.settings.home))

    def ask(self, code: str) -> Any:
        """What ``code`` prints last, as JSON."""
        environment = os.environ | airflow.environment(self.settings) | {"UPDRAFT_MODELS": str(self.models)}
        command = [str(self.settings.python("airflow")), "-c", code]
        repo = self.settings.repo
        done = subprocess.run(command, env=environment, cwd=repo, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def parsing(tmp_path_factory) -> Parsing:
    """With the two shipped models."""
    parsing = Parsing(tmp_path_factory.mktemp("parsing"))
    for model in ("digits", "diabetes"):
        shutil.copytree(parsing.settings.repo / "include" / "models" / model, parsing.models / model)
    return parsing


@pytest.fixture
def alone(tmp_path) -> Callable[[], Parsing]:
    """Without any model yet."""
    return Parsing(tmp_path)
