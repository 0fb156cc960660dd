"""A real MLflow server with a report on it, the plugin's application as Airflow serves it, and a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS, Mlflow
from include.report.render import render
from include.runtime.settings import REPO
from tests.include.report import runs
from tests.mlflow_server import mlflow_server
from tests.ports import free_port

START_S = 120
WAIT_MS = 20_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}"}
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@dataclass(frozen=True)
class Served:
    """Where the application listens, which token a viewer has and an admin, which MLflow run holds a report, and where the database is."""

    url: str
    token: str
    report: str
    database: Path
    admin: str = ""
    operator: str = ""

    def get(self, path: str, *, token: bool = True, **more: Any) -> requests.Response:
        cookies = {"_token": self.token} if token else {}
        return requests.get(f"{self.url}/lifecycle/{path}", cookies=cookies, timeout=30, **more)

    def put(self, path: str, body: Any, *, admin: bool = True) -> requests.Response:
        cookies = {"_token": self.admin if admin else self.token}
        return requests.put(f"{self.url}/lifecycle/{path}", cookies=cookies, json=body, timeout=30)


@contextmanager
def server(command: list[str], health: str, home: Path, environment: dict[str, str]) -> Iterator[None]:
    """A server that answers at ``health``; ended with all its children."""
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=REPO, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                requests.get(health, timeout=2)
                assert process.poll() is None, (home / "log.txt").read_text()[-3000:]  # else another server answers at this port
                break
            except requests.RequestException:
                assert process.poll() is None and time.monotonic() < deadline, (home / "log.txt").read_text()[-3000:]
                time.sleep(0.2)
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Served]:
    home, port, report = tmp_path_factory.mktemp("airflow"), free_port(), registered(Mlflow(mlflow_url))
    command = [sys.executable, "-m", "tests.plugins.lifecycle.ui.served", str(home), str(port), mlflow_url, report]
    with server(command, f"http://127.0.0.1:{port}/", home, ENVIRONMENT):
        tokens = [(home / name).read_text() for name in ("admin", "operator")]
        yield Served(f"http://127.0.0.1:{port}", (home / "token").read_text(), report, home / "airflow.db", *tokens)


def registered(mlflow: Mlflow) -> str:
    """Three versions with their aliases; a report and data docs on the second one's run, whose id is returned."""
    for version in (1, 2, 3):
        run = mlflow.ensure_run("updraft/digits", f"digits_lifecycle/{version}", str(version))
        source = f"{mlflow.run(run)['info']['artifact_uri']}/bundle"
        mlflow.ensure_version("digits", run_id=run, source=source, run_key=str(version), tags={})
    for alias, version in {PREVIOUS: 1, CHAMPION: 2, CHALLENGER: 3}.items():
        mlflow.set_alias("digits", alias, version)
    kept = mlflow.ensure_run("updraft/digits", "digits_lifecycle/2", "2")
    mlflow.write(kept, "report.html", render(runs.promoted()).encode())
    mlflow.write(kept, "data_docs/index.html", b"<p>Data Docs</p>")
    return kept


@pytest.fixture(scope="module")  # two of them cannot be open at once in one process
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed and could not be: `make test` installs it where it may (apt-get install chromium).")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(served: Served, browser: Any) -> Iterator[Any]:
    """A viewer's browser."""
    found = browser.new_context()
    found.add_cookies([{"name": "_token", "value": served.token, "url": served.url}])
    found.set_default_timeout(WAIT_MS)
    yield found
    found.close()


@pytest.fixture
def operator(served: Served, browser: Any) -> Iterator[Any]:
    """An operator's browser."""
    found = browser.new_context()
    found.add_cookies([{"name": "_token", "value": served.operator, "url": served.url}])
    found.set_default_timeout(WAIT_MS)
    yield found
    found.close()


def opened(context: Any, address: str, shows: str) -> Any:
    """A page that shows what the selector names; ``problems`` gathers what its console reports."""
    found = context.new_page()
    found.problems = []
    found.on("console", lambda message: found.problems.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: found.problems.append(str(error)))
    found.goto(address)
    found.wait_for_selector(shows)
    return found
