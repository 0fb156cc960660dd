"""One server of the plugin's API for each kind of database, for the whole session; each test brings a node of its own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from include.runtime.settings import REPO
from tests.plugins.gpu_pool.conftest import empty
from tests.ports import free_port

START_S = 120


@dataclass
class Served:
    """A server: where it is, users' tokens, its database and its log. Calls are made as ``user``."""

    url: str
    tokens: dict[str, str]
    database: str
    log: Path
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, user: str | None = "olaf", token: str | None = None, **more: Any) -> requests.Response:
        bearer = token or (self.tokens[user] if user else None)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        headers |= more.pop("headers", {})
        address = path if path.startswith("http") else f"{self.url}/gpu-pool{path if path.startswith('/') else f'/v1/{path}'}"
        return self.session.request(method, address, headers=headers, timeout=30, **more)

    def get(self, path: str, user: str | None = "olaf", **more: Any) -> requests.Response:
        return self.call("GET", path, user, **more)

    def post(self, path: str, body: Any, user: str | None = "olaf", **more: Any) -> requests.Response:
        return self.call("POST", path, user, json=body, **more)

    def agent(self, reporter: str, **body: Any) -> str:
        """A token to report with."""
        answer = self.post(f"agents/{reporter}", body, "anna")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


@dataclass
class Fleet:
    """A node of one test's own, and the label by which its requests find it."""

    served: Served
    name: str
    token: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def report(
        self, gpus: int = 1, failed: str = "", clock: float | None = None, sequence: int | None = None, **more: Any
    ) -> requests.Response:
        devices = [
            {
                "uuid": f"{self.name}-{number}",
                "index": number,
                "model": "H100-80GB",
                "memory_mib": 81920,
                "sharing": "mps",
                "failed": failed,
            }
            for number in range(gpus)
        ]
        body = {
            "source": "declared",
            "sequence": next(self.numbers) if sequence is None else sequence,
            "clock": time.time() if clock is None else clock,
            "nodes": [{"name": self.name, "labels": {"of": self.name}, "devices": devices}],
        }
        return self.served.call("PUT", f"reports/{self.name}", token=self.token, json=body | more)

    def ask(self, user: str = "olaf", key: str = "", **ask: Any) -> requests.Response:
        return self.served.post("requests", {"key": key or uuid4().hex, "gpus": 1, "labels": {"of": self.name}} | ask, user)

    def lease(self, user: str = "olaf", **ask: Any) -> dict[str, Any]:
        answer = self.ask(user, **ask)
        assert answer.status_code == 200, answer.text
        lease: dict[str, Any] = answer.json()["lease"]
        assert lease, answer.json()["reasons"]
        return lease

    def shown(self) -> dict[str, Any]:
        return next(node for node in self.served.get("inventory").json()["nodes"] if node["name"] == self.name)


@contextmanager
def serving(home: Path, database: str) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    port, log = free_port(), home / "log.txt"
    command = [sys.executable, "-m", "tests.plugins.gpu_pool.api.served", str(home), str(port), database]
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=REPO, env=environment, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                if requests.get(f"{url}/gpu-pool/v1/inventory", timeout=2).status_code == 401:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        yield Served(url, json.loads((home / "tokens.json").read_text()), database, log), process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """On SQLite."""
    home = tmp_path_factory.mktemp("served")
    with serving(home, f"sqlite:///{home / 'airflow.db'}") as (found, _):
        yield found


@pytest.fixture(scope="session")
def served_on_postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    with serving(home, empty(request, "postgresql", home)) as (found, _):
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def on_either(request: pytest.FixtureRequest) -> Served:
    found: Served = request.getfixturevalue("served" if request.param == "sqlite" else "served_on_postgresql")
    return found


@pytest.fixture
def fleet(served: Served) -> Fleet:
    return fleet_of(served)


def fleet_of(served: Served, gpus: int = 1) -> Fleet:
    name = f"n{uuid4().hex[:12]}"
    fleet = Fleet(served, name, served.agent(name))
    assert fleet.report(gpus).status_code == 200
    return fleet
