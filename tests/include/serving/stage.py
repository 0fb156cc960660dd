"""A small platform for the serving and gateway tests: real supervisord, real Envoy, real Triton, in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.backends.triton import guard
from include.backends.triton.spec import TritonServe
from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.gateway.observe import Cursor, end_of
from include.platform import listeners, supervisord
from include.runtime import family
from include.runtime.revision_key import key_headers
from include.runtime.settings import Settings
from include.runtime.supervisor import Program, Supervisor
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from tests.ports import free_base
from tests.waiting import age_s, until

KEY, OTHER_KEY, SECRET = "demo-key-0123456789", "other-key-0123456789", "probe-secret-0123456789"


class Stage:
    """Started once a session and shared by both test folders."""

    shared: Stage | None = None
    users = 0

    @classmethod
    def acquire(cls) -> Stage:
        if cls.shared is None:
            cls.shared = cls()
        cls.users += 1
        return cls.shared

    @classmethod
    def release(cls) -> None:
        cls.users -= 1
        if cls.users == 0 and cls.shared is not None:
            cls.shared.close()
            cls.shared = None

    def __init__(self) -> None:
        home = Path(tempfile.mkdtemp(prefix="updraft-"))
        self.settings = replace(Settings.load(), home=home, port_base=free_base())
        self.supervisor = Supervisor(self.settings)
        self.credentials = Credentials({"demo": KEY, "other": OTHER_KEY}, SECRET)
        self.backend = Revisions(self.settings, self.supervisor)
        maker = Path(__file__).with_name("make_bundles.py")
        self.bundles = home / "bundles"
        subprocess.run([str(self.settings.python("trainer")), str(maker), str(self.bundles)], check=True)
        supervisord.start(self.settings)

    def chat_bundle(self) -> Path:
        """The bundle of a random language model; the test is skipped where the `llm` runtime is not installed."""
        python = self.settings.python("llm")
        if not python.exists():
            pytest.skip("runtime llm is not installed: make install-llm")
        folder = self.bundles / "chat"
        if not folder.exists():
            maker = Path(__file__).with_name("make_chat_bundle.py")
            port = self.settings.revision_ports[-1]
            environment = os.environ | {"PYTHONPATH": str(self.settings.repo)}
            subprocess.run([str(python), str(maker), str(folder), str(port)], check=True, env=environment)
        return folder

    @cached_property
    def gateway(self) -> Gateway:
        gateway = Gateway(self.settings, self.credentials)
        gateway.prepare()
        program = Program("envoy", gateway.command(), self.settings.envoy, self.settings.logs / "envoy.log")
        self.supervisor.start_program(program)
        until(gateway.admin.running)
        gateway.wait_applied()
        return gateway

    @cached_property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.settings.gateway_url, headers={"x-api-key": KEY}, timeout=20)

    def serve(self, model: str, version: str, bundle: str = "good", **params: Any) -> Revision:
        """A running revision; with parameters it has the tests' wrapper."""
        options = TritonServe(batch_delay_us=0, wrapper="serving:Wrapper" if params else None, drain_s=5)
        return self.backend.start(self.bundles / bundle, model, version, options, params)

    def key(self, revision: Revision) -> dict[str, str]:
        """What a request to the revision's own port carries."""
        return key_headers(self.settings, revision.name)

    def golden_request(self, rows: int = 1) -> dict[str, Any]:
        tensor = json.loads((self.bundles / "good" / "golden.json").read_text())["inputs"][0]
        return {"inputs": [{**tensor, "shape": [rows, 8], "data": tensor["data"][: rows * 8]}]}

    def infer(self, model: str, **options: Any) -> httpx.Response:
        return self.client.post(f"/v2/models/{model}/infer", json=self.golden_request(), **options)

    def mark(self) -> Cursor:
        """A cursor behind everything sent so far: Envoy writes its log a moment later."""
        name = f"mark_{time.monotonic_ns()}"
        self.infer(name)
        until(lambda: name.encode() in self.gateway.access_log.read_bytes())
        return end_of(self.gateway.access_log)

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()
        self.supervisor.shutdown()
        shutil.rmtree(self.settings.home, ignore_errors=True)


def children(stage: Stage, revision: Revision) -> list[int]:
    """Every process of a revision's server."""
    return family.family(str(stage.settings.home), revision.program)


def listening(stage: Stage, revision: Revision) -> set[tuple[str, int]]:
    """Where a revision's processes listen, Unix sockets aside."""
    return {(found.host, found.port) for found in listeners.of(children(stage, revision)) if found.kind != "unix"}


def settled(stage: Stage, revision: Revision) -> int:
    """Wait until Triton has run for longer than a server whose death counts as a failed start; return its process."""
    (server,) = guard.children(stage.supervisor.info(revision.program)[1])
    until(lambda: age_s(server) > guard.LOADING_S)
    return server


def processes(mark: str) -> list[str]:
    """Command lines of the living processes that mention ``mark`` (zombies have none)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in command:
            found.append(command)
    return found
