"""A real MLflow as the platform runs it, and the door before it."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from include.door.token import Grant, sign
from include.platform import supervisord
from include.platform.programs import RUN_DOOR, platform_programs
from include.runtime.settings import Settings
from include.runtime.supervisor import Supervisor
from tests.include.registry.conftest import Server
from tests.ports import common_base
from tests.waiting import until


@dataclass
class Doors:
    """The server, and two runs of one experiment and one of another with an artifact and a logged model each."""

    server: Server
    own: str
    other: str
    far: str

    @property
    def url(self) -> str:
        return self.server.settings.mlflow_door_url

    def token(self, run: str = "", reads: tuple[str, ...] = (), lifetime_s: float = 600, secret: str = "", attempt: str = "") -> str:
        return sign(Grant(run, reads, "test", attempt), secret or self.server.credentials.door_secret, time.time(), lifetime_s)

    def call(self, token: str, method: str, path: str, **kwargs) -> requests.Response:
        """Asked as it stands: no library mends the path."""
        request = requests.Request(method, self.url, headers={"Authorization": f"Bearer {token}"}, **kwargs).prepare()
        request.url = self.url + path + (f"?{request.url.partition('?')[2]}" if "?" in request.url else "")
        with requests.Session() as session:
            return session.send(request, timeout=30)


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
    supervisord.start(settings)
    try:
        server = Server(settings)
        Supervisor(settings).start_program(next(p for p in platform_programs(settings, server.credentials) if p.name == RUN_DOOR))
        mlflow = server.client()
        runs = [mlflow.ensure_run(f"updraft/{model}", key, key) for model, key in (("a", "a/1"), ("a", "a/2"), ("b", "b/1"))]
        for run in runs:
            mlflow.write(run, "secret.txt", b"of " + run.encode())
        until(lambda: _answers(settings.mlflow_door_url), 60)
        yield Doors(server, *runs)
    finally:
        Supervisor(settings).shutdown()
        supervisord.end_orphans(settings, grace_s=0)
        shutil.rmtree(settings.home)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False
