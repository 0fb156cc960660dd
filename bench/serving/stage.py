"""A platform for the benches: supervisord, Envoy and Triton as in production, in a folder and on ports of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.platform import supervisord
from include.runtime.settings import Settings
from include.runtime.supervisor import Program, Supervisor
from include.serving.revisions import Revisions

CLIENT = "bench"
MODEL = "bench"
PORT_BASES = range(23800, 30000, 400)


class BenchPlatform:
    """``bundle`` holds a digits classifier (64 inputs, 10 classes, one hidden layer), ``mlflow_model`` the same for MLflow."""

    def __init__(self, home: Path) -> None:
        base = int(os.environ.get("UPDRAFT_PORT_BASE") or next(base for base in PORT_BASES if _free(base) and _free(base + 100)))
        self.settings = replace(Settings.load(), home=home, port_base=base)
        self.credentials = Credentials({CLIENT: secrets.token_urlsafe(18)}, secrets.token_urlsafe(18))
        self.supervisor = Supervisor(self.settings)
        self.backend = Revisions(self.settings, self.supervisor)
        self.gateway = Gateway(self.settings, self.credentials)
        self.bundle, self.mlflow_model = home / "bundle", home / "mlflow_model"

    def make_digits(self) -> None:
        maker = Path(__file__).with_name("make_model.py")
        subprocess.run([str(self.settings.python("trainer")), str(maker), str(self.bundle), str(self.mlflow_model)], check=True)

    def start(self) -> None:
        supervisord.start(self.settings)
        self.gateway.prepare()
        self.supervisor.start_program(Program("envoy", self.gateway.command(), self.settings.envoy, self.settings.logs / "envoy.log"))
        deadline = time.monotonic() + 20
        while not self.gateway.admin.running():
            if time.monotonic() > deadline:
                raise RuntimeError((self.settings.logs / "envoy.log").read_text()[-2000:])
            time.sleep(0.05)
        self.gateway.wait_applied()

    @property
    def key(self) -> str:
        return self.credentials.api_keys[CLIENT]


@contextmanager
def bench_platform(*, digits: bool = True) -> Iterator[BenchPlatform]:
    """Started on entry, with a digits classifier unless told otherwise; everything ended and removed on exit."""
    home = Path(tempfile.mkdtemp(prefix="updraft-bench-"))
    platform = BenchPlatform(home)
    try:
        if digits:
            platform.make_digits()
        platform.start()
        yield platform
    finally:
        platform.supervisor.shutdown()
        shutil.rmtree(home, ignore_errors=True)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
