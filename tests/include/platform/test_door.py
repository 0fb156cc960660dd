"""MLflow's door for pods: who passes, and at which addresses it may be."""

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from include.errors import InputError
from include.platform import door
from include.runtime.settings import Settings

HOST = "127.0.0.2"


class Behind(BaseHTTPRequestHandler):
    """Says what it was asked, and by which name."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} of {self.headers['Host']} by {self.headers['Authorization']}".encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def settings(tmp_path) -> Settings:
    return replace(Settings.load(), home=tmp_path)


@pytest.fixture
def opened(tmp_path) -> Iterator[Settings]:
    behind = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    settings = replace(Settings.load(), home=tmp_path, port_base=behind.server_port - 51)
    process = subprocess.Popen(door.program(settings, HOST).command, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                requests.get(f"{door.url(settings, HOST)}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield settings
    finally:
        process.terminate()
        process.wait()
        behind.shutdown()
        behind.server_close()


@pytest.mark.integration
def test_the_api_passes_with_its_login_and_nothing_else_does(opened):
    url = door.url(opened, HOST)
    answer = requests.get(f"{url}/api/2.0/mlflow/runs/get?run_id=1", auth=("admin", "x"), timeout=10)
    assert answer.text == f"/api/2.0/mlflow/runs/get?run_id=1 of 127.0.0.1:{opened.mlflow_door_port} by Basic YWRtaW46eA=="
    for path in ("/", "/ajax-api/2.0/mlflow/runs/get", "/graphql", "/api/../graphql", "/signup"):
        session = requests.Session()
        asked = session.prepare_request(requests.Request("GET", url))
        asked.url = url + path
        assert session.send(asked, timeout=10).status_code == 404, path
    assert requests.get(f"{url}/api/", headers={"Host": "evil.example"}, timeout=10).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "192.0.2.253", "mlflow.example", ""])
def test_an_address_that_nobody_else_reaches_or_is_not_here_is_refused(settings, monkeypatch, host):
    monkeypatch.setenv(door.VARIABLE, host)
    with pytest.raises(InputError, match="UPDRAFT_STEPS_HOST"):
        door.address(settings)
    assert not (settings.home / "steps-host").exists()


def test_an_address_is_kept_until_the_door_is_closed(settings, monkeypatch):
    monkeypatch.setattr(door, "is_here", lambda host: True)
    monkeypatch.delenv(door.VARIABLE, raising=False)
    assert door.address(settings) == ""
    monkeypatch.setenv(door.VARIABLE, "10.0.0.7")
    assert door.address(settings) == "10.0.0.7"
    monkeypatch.delenv(door.VARIABLE)
    assert door.address(settings) == "10.0.0.7"
    monkeypatch.setenv(door.VARIABLE, "none")
    assert door.address(settings) == ""
    monkeypatch.delenv(door.VARIABLE)
    assert door.address(settings) == ""
