import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from include.platform import airflow, supervisord
from include.platform.programs import platform_programs
from include.registry.mlflow import Mlflow
from include.runtime.credentials import ADMIN, Credentials
from include.runtime.settings import Settings
from include.runtime.supervisor import Program, Supervisor
from tests.ports import common_base


class Server:
    """A real MLflow server as the platform runs it, with its basic authentication."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.supervisor = settings, Supervisor(settings)
        self.credentials = Credentials.load_or_create(settings.home)
        (settings.home / "mlflow").mkdir()
        airflow.write(settings, self.credentials)  # the programs are told apart by their configuration
        self.program: Program = next(part for part in platform_programs(settings, self.credentials) if part.name == "mlflow")
        self.supervisor.start_program(self.program)
        self.wait()

    def wait(self, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            assert time.monotonic() < deadline, (self.settings.logs / "mlflow.log").read_text()[-2000:]
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.settings.mlflow_url}/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def client(self, password: str | None = None) -> Mlflow:
        return Mlflow(self.settings.mlflow_url, ADMIN, self.credentials.mlflow_password if password is None else password)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
    supervisord.start(settings)
    try:
        yield Server(settings)
    finally:
        Supervisor(settings).shutdown()
        supervisord.end_orphans(settings, grace_s=0)
        shutil.rmtree(settings.home)


@pytest.fixture
def client(server: Server) -> Mlflow:
    return server.client()
