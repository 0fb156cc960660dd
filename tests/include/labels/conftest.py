"""A real Label Studio, started once for all tests of it, with a model's labelling."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from include.labels import template
from include.labels.client import LabelStudio
from include.labels.project import Wanted
from include.labels.template import KEY, NAME
from include.platform import labelling
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.spec.label import Label
from tests.ports import free_base

LABEL = Label(rows="pool.csv", show="text", text="words", classes=("ham", "spam"), min_pairs=2)
CONFIG = template.template(LABEL, numbers=False)


@dataclass
class Server:
    """A Label Studio that runs: its settings, its credentials, its process, and how it is started again."""

    settings: Settings
    credentials: Credentials
    begin: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    def client(self, token: str = "") -> LabelStudio:
        return LabelStudio(self.settings.labels_url, token or self.credentials.labels_token)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        self.process = self.begin()
        until_up(self.settings.labels_url)


def until_up(url: str) -> None:
    end = time.monotonic() + 800
    while True:
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except OSError:
            pass
        assert time.monotonic() < end, "Label Studio does not answer"
        time.sleep(0.3)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("labels")
    settings = replace(Settings.load(), home=home, port_base=free_base())
    if not settings.python(labelling.RUNTIME).exists():
        pytest.skip("the runtime `labels` is not installed: make install-labels")
    credentials = Credentials.load_or_create(home)
    program = labelling.program(settings, credentials)

    def begin() -> subprocess.Popen[bytes]:
        with (home / "log").open("ab") as log:
            return subprocess.Popen(program.command, cwd=program.directory, env=dict(program.environment), stdout=log, stderr=log)

    found = Server(settings, credentials, begin, begin())
    try:
        until_up(settings.labels_url)
        yield found
    finally:
        found.kill()


@pytest.fixture
def studio(server: Server) -> LabelStudio:
    return server.client()


@pytest.fixture
def model(studio: LabelStudio, request: pytest.FixtureRequest) -> Iterator[str]:
    """A model's name of the test's own; its project is deleted afterwards."""
    from include.labels import project

    name = f"m{abs(hash(request.node.name)) % 10**8}"
    yield name
    if (found := project.find(studio, name)) is not None:
        studio.call("DELETE", f"/api/projects/{found['id']}/")


def wanted(model: str, config: str = CONFIG, annotators: int = 1) -> Wanted:
    return Wanted(model, f"Updraft: {model}", config, annotators)


def annotate(studio: LabelStudio, task: int, choice: str, name: str = NAME) -> int:
    """Label a task as the client's user; the annotation's id."""
    part = {"from_name": name, "to_name": "shown", "type": "choices", "value": {"choices": [choice]}}
    return int(studio.call("POST", f"/api/tasks/{task}/annotations/", json={"result": [part]})["id"])


def by_key(studio: LabelStudio, project: int) -> dict[str, dict[str, Any]]:
    return {task["data"][KEY]: task for task in studio.tasks(project)}
