"""The prediction log's real process, beside a real Envoy and a real Triton that serves the model `digits`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from include.predictions import read
from include.runtime.settings import REPO
from tests.include.serving.stage import KEY, OTHER_KEY, SECRET, Stage
from tests.waiting import until


@dataclass
class Logged:
    """The platform whose model `digits` is logged, all of it."""

    stage: Stage
    models: Path
    output: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start the process, and wait until the gateway has been told what is logged."""
        settings = self.stage.settings
        environment = os.environ | {"UPDRAFT_HOME": str(settings.home), "UPDRAFT_PORT_BASE": str(settings.port_base)}
        command = [sys.executable, "-m", "include.predictions.service"]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment | {"UPDRAFT_MODELS": str(self.models)}, stdout=output, stderr=subprocess.STDOUT
            )
        until(lambda: _listens(settings.prediction_socket), 60)
        self.stage.gateway.wait_applied()

    def rows(self, since: int, count: int) -> pd.DataFrame:
        """The rows behind the first ``since``, once there are ``count`` of them."""
        until(lambda: len(read(self.stage.settings, "digits")) >= since + count)
        return read(self.stage.settings, "digits")[since:].reset_index(drop=True)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    stage = Stage.acquire()
    folder = tmp_path_factory.mktemp("logged")
    shutil.copytree(REPO / "include/models/digits", folder / "models/digits")
    with (folder / "models/digits/model.yaml").open("a") as spec:
        spec.write("\nmonitor: {log: {share: 1, redact: [outputs.probabilities]}}\n")
    credentials = {"api_keys": {"demo": KEY, "other": OTHER_KEY}, "probe_secret": SECRET}
    (stage.settings.home / "credentials.json").write_text(json.dumps(credentials))
    for version in ("1", "2"):
        stage.gateway.add_revision(stage.serve("digits", version).endpoint())
    stage.gateway.set_split("digits", {"1": 100})
    found = Logged(stage, folder / "models", folder / "log.txt")
    found.start()
    yield found
    found.process.kill()
    found.process.wait()
    stage.gateway.draw({})
    stage.gateway.retire("digits")
    Stage.release()
