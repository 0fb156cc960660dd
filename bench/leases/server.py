"""A real ``airflow api-server`` with the GPU pool's plugin, on a database and a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from include.platform import airflow
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings

START_S = 120.0
REPORT_S = 5.0
NODES, GPUS = 16, 8


@dataclass(frozen=True)
class Server:
    """``operator`` and ``agent`` are bearer tokens."""

    port: int
    operator: str
    agent: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def server(home: Path, database: str, port: int) -> Iterator[Server]:
    """Migrated, started, and with NODES nodes of GPUS GPUs reported every few seconds. ``database``: URL, "" for SQLite in ``home``."""
    settings = replace(Settings.load(), home=home)
    credentials = Credentials.load_or_create(home)
    airflow.write(settings, credentials)
    environment = os.environ | airflow.environment(settings)
    environment["AIRFLOW__API__BASE_URL"] = f"http://127.0.0.1:{port}"
    if database:
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
    command = str(settings.python("airflow").parent / "airflow")
    with (home / "log.txt").open("w") as log:
        common: dict[str, Any] = {"env": environment, "cwd": settings.repo, "stdout": log, "stderr": log}
        subprocess.run([command, "db", "migrate"], check=True, **common)
        process = subprocess.Popen([command, "api-server", "--host", "127.0.0.1", "--port", str(port)], start_new_session=True, **common)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, f"{url}/api/v2/version", home / "log.txt")
        admin, operator = (_token(url, user, credentials.airflow_passwords[user]) for user in (ADMIN, SERVICE))
        enrolled = requests.post(f"{url}/gpu-pool/v1/agents/bench", json={"cluster": True}, headers=_bearer(admin), timeout=30)
        enrolled.raise_for_status()
        served = Server(port, operator, enrolled.json()["token"])
        with _reported(served):
            yield served
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the API server did not start: {log.read_text()[-3000:]}")
        try:
            requests.get(url, timeout=5)
            return
        except requests.RequestException:
            time.sleep(0.2)


def _token(url: str, user: str, password: str) -> str:
    answer = requests.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def _reported(served: Server) -> Iterator[None]:
    """The inventory as an agent reports it, so that no node falls silent."""
    stop = threading.Event()
    _report(served, 1)

    def run() -> None:
        sequence = 1
        while not stop.wait(REPORT_S):
            _report(served, sequence := sequence + 1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _report(served: Server, sequence: int) -> None:
    nodes = [
        {
            "name": f"bench/n{node}",
            "labels": {},
            "devices": [{"uuid": f"GPU-{node}-{gpu}", "index": gpu, "model": "H100-80GB", "memory_mib": 81_920} for gpu in range(GPUS)],
        }
        for node in range(NODES)
    ]
    body = {"source": "declared", "sequence": sequence, "clock": time.time(), "nodes": nodes}
    answer = requests.put(f"{served.url}/gpu-pool/v1/reports/bench", json=body, headers=_bearer(served.agent), timeout=30)
    if answer.status_code != 200:
        raise SystemExit(f"the report was refused ({answer.status_code}): {answer.text[:500]}")
