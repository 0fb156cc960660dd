"""A real MLflow server without authentication, for tests of what works with runs and models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.ports import free_port
from tests.waiting import until

START_S, STOP_S = 300.0, 120.0
ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""As the platform runs it: without the queues of its jobs, six processes that import all of MLflow."""
LEASH = 'exec 3<&0; { read -r _ <&3; kill -TERM 0; } & exec "$@" </dev/null 3<&-'
"""A shell's program that becomes another, whose whole session ends when nobody has the other end of its input any more: a test run that is
killed leaves nothing behind."""


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """Start a server that keeps everything in the folder ``home``, and yield its URL; end it with all its children."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", home / "log.txt"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    leash = ["sh", "-c", LEASH, "mlflow"]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*leash, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )

    def answers() -> bool:
        assert server.poll() is None, log.read_text()[-3000:]  # else another server answers at this port
        try:
            return requests.get(f"{url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    try:
        until(answers, START_S, "MLflow answers", every_s=0.2, seen=lambda: log.read_text()[-3000:])
        yield url
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=STOP_S)
