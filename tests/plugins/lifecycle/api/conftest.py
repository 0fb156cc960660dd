"""One API server for the session, as Airflow runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from include.runtime.airflow_api import AirflowApi
from include.verdict import Verdict
from tests.plugins.lifecycle.ui.conftest import ENVIRONMENT, server
from tests.ports import free_port

JSON = {"Content-Type": "application/json"}


@dataclass
class Api:
    """The server: where it is, users' tokens, its database and its log. Calls are made as ``user``, by default the service."""

    url: str
    tokens: dict[str, str]
    database: Path
    log: Path
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, user: str | None = "updraft", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        headers |= more.pop("headers", {})
        address = f"{self.url}{path}" if path.startswith("/") else f"{self.url}/lifecycle/v1/{path}"
        return self.session.request(method, address, headers=headers, timeout=30, **more)

    def get(self, path: str, user: str | None = "vera", **more: Any) -> requests.Response:
        return self.call("GET", path, user, **more)

    def put(self, path: str, body: Any, user: str | None = "updraft") -> requests.Response:
        """``json.dumps`` escapes what is no text, so that it can be sent."""
        return self.call("PUT", path, user, data=json.dumps(body), headers=JSON)

    def client(self, user: str) -> AirflowApi:
        """As the platform's programs call."""
        found = AirflowApi(self.url, user, "")
        found._token = self.tokens[user]
        return found

    def run_key(self) -> str:
        return f"digits_lifecycle/manual__{uuid4().hex}"

    def keep(self, kind: str, verdict: Verdict, run_key: str = "", **more: Any) -> requests.Response:
        return self.put("verdicts", verdict_body(kind, verdict, run_key or self.run_key()) | more)


def verdict_body(kind: str, verdict: Verdict, run_key: str, version: int | None = None) -> dict[str, Any]:
    """As ``lifecycle.run.keep_verdict`` sends it."""
    plain = {"decision": verdict.decision.value, "body": verdict.to_json()}
    return {"run_key": run_key, "kind": kind, "model": "digits", "version": version, **plain}


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    home, port = tmp_path_factory.mktemp("api"), free_port()
    command = [sys.executable, "-m", "tests.plugins.lifecycle.api.served", str(home), str(port), f"sqlite:///{home / 'airflow.db'}"]
    with server(command, f"http://127.0.0.1:{port}/lifecycle/v1/history", home, ENVIRONMENT):
        tokens = json.loads((home / "tokens.json").read_text())
        yield Api(f"http://127.0.0.1:{port}", tokens, home / "airflow.db", home / "log.txt")
