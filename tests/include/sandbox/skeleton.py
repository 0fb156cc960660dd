"""A platform's skeleton with things in it that no user code may have, and a process to be hurt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from include.platform import supervisord
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Supervisor
from tests.ports import common_base

SECRET = "a-secret-of-the-platform"
TOKENS = ("keys.json", "revision-key", "usage.json", "exporter.token", "gpu-agent/simulated.token", "prometheus/alerts.token")
"""Files of the platform's parts, each its owner's alone."""


class Behind(BaseHTTPRequestHandler):
    """Stands where MLflow and Airflow would: whoever gets through is answered."""

    def do_GET(self) -> None:
        self.send_response(200 if not self.path.startswith("/refused") else 403)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class Platform:
    """Supervisord, a home with things in it that no step may have, three servers that answer, and a process to be hurt."""

    def __init__(self) -> None:
        self.settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
        home = self.settings.home
        self.other = home / "steps" / "another-run" / "train" / "out" / "model"
        for path in (
            home / "credentials.json",
            home / "airflow" / "airflow.db",
            home / "mlflow" / "mlflow.db",
            home / "dvc" / "x",
            home / "predictions" / "model=another" / "version=1" / "hour=2026-11-30T20" / "1.parquet",
            home / "prediction-log" / "1.jsonl",
            *(home / name for name in TOKENS),
            self.other,
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SECRET)
        self.shm, self.tmp = Path(f"/dev/shm/{home.name}"), Path(f"/tmp/{home.name}-of-another")
        for path in (self.shm, self.tmp):
            path.write_text(SECRET)
        supervisord.start(self.settings)
        ports = (self.settings.airflow_port, self.settings.mlflow_port, self.settings.mlflow_door_port)
        self.servers = [ThreadingHTTPServer(("127.0.0.1", port), Behind) for port in ports]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"TOKEN": SECRET})

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        Supervisor(self.settings).shutdown()
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for path in (self.shm, self.tmp):
            path.unlink()
        shutil.rmtree(self.settings.home)

    def facts(self, folder: Path) -> dict[str, object]:
        other_model = folder.parent / "another-model" / "model.yaml"
        other_model.parent.mkdir(exist_ok=True)
        other_model.write_text(SECRET)
        return {
            "home": str(self.settings.home),
            "other": str(self.other),
            "other_model": str(other_model),
            "repo": str(REPO),
            "user_home": os.path.expanduser("~"),
            "in_tmp": str(self.tmp),
            "in_shm": str(self.shm),
            "platform": self.victim.pid,
            "supervisord": Supervisor(self.settings).process_id(),
            "secrets": [SECRET],
            "tokens": TOKENS,
            "airflow_port": self.settings.airflow_port,
            "mlflow_port": self.settings.mlflow_port,
            "door": (self.settings.host, self.settings.mlflow_door_port),
            "cluster_api": ("127.0.0.1", self.settings.airflow_port),
            "docker": os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock",
            "free_platform_port": self.settings.gateway_port,
            "other_record": f"{self.settings.mlflow_url}/refused",
            "was_root": os.geteuid() == 0,
            "processes": 6000,
        }
