"""A real Envoy with Updraft's configuration, the count of budgets beside it, and a small server behind it, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from include.gateway.credentials import Credentials
from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.runtime.settings import REPO, Settings
from tests.ports import free_base, free_port

KEY, MODEL = "budget-key-0123456789", "talk"
START_S = 30.0


@dataclass
class Site:
    settings: Settings
    gateway: Gateway
    told: Path
    upstream_port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        environment = os.environ | {
            "UPDRAFT_HOME": str(self.settings.home),
            "UPDRAFT_PORT_BASE": str(self.settings.port_base),
            "PYTHONPATH": f"{REPO}:{REPO / 'plugins'}",
        }
        log = (self.settings.home / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPO, env=environment, start_new_session=True)

    def count(self) -> None:
        """Start who keeps the count."""
        self.start("budgets", sys.executable, "-m", "include.budgets.service")
        wait(self.settings.budget_socket.exists)

    def kill(self, name: str) -> None:
        os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running[name].wait()

    def tokens(self) -> int:
        """What the server has told in all."""
        found = json.loads(self.told.read_text()) if self.told.exists() else {}
        return int(found.get("prompt_tokens", 0) + found.get("completion_tokens", 0))

    def most_at_once(self) -> int:
        return int(json.loads(self.told.read_text())["most_at_once"])


@contextmanager
def site() -> Iterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="updraft-budget-"))
    settings = replace(Settings.load(), home=home, port_base=free_base())
    gateway, port = Gateway(settings, Credentials({"demo": KEY, "updraft": "platform-0123456789"}, "probe-0123456789")), free_port()
    found = Site(settings, gateway, home / "told.json", port)
    gateway.prepare()
    gateway.add_revision(Endpoint(MODEL, "1", port, protocol="openai", timeout_s=120))
    gateway.set_split(MODEL, {"1": 100})
    try:
        found.start("upstream", sys.executable, "-m", "bench.budget.upstream", str(port), str(found.told))
        found.start("envoy", *gateway.command())
        wait(gateway.admin.running)
        gateway.wait_applied()
        found.count()
        yield found
    finally:
        for process in found.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in found.running.values():
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def wait(fine: Callable[[], bool], most_s: float = START_S) -> None:
    deadline = time.monotonic() + most_s
    while not fine():
        if time.monotonic() > deadline:
            raise TimeoutError(str(fine))
        time.sleep(0.05)
