"""The client against a server that fails now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.errors import ComponentError
from include.runtime import airflow_api
from include.runtime.airflow_api import AirflowApi, Refused


class Failing(ThreadingHTTPServer):
    """Answers 500 to the first ``failures`` calls, then 200; the login always works."""

    failures = 0
    refusal: bytes = b""
    """With it, 409 and this body."""
    calls: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Failing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/auth/token":
            self.answer(200, b'{"access_token": "t"}')
        else:
            self.do_GET()

    def do_GET(self) -> None:
        self.server.calls += 1
        if self.server.refusal:
            self.answer(409, self.server.refusal)
            return
        broken = self.server.calls <= self.server.failures
        self.answer(500 if broken else 200, b'{"detail": "database is locked"}' if broken else b'{"fine": true}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    monkeypatch.setattr(airflow_api, "AGAIN_S", 0.01)
    with Failing(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def client(server: Failing) -> AirflowApi:
    return AirflowApi(f"http://127.0.0.1:{server.server_port}", "someone", "secret")


def test_what_may_be_repeated_is_asked_again_when_the_server_fails(server: Failing):
    server.failures = 3
    assert client(server).get("/api/v2/pools") == {"fine": True}
    assert server.calls == 4


def test_a_post_is_never_made_twice(server: Failing):
    server.failures = 1
    with pytest.raises(ComponentError, match="answered 500"):
        client(server).post("/api/v2/pools", {})
    assert server.calls == 1


def test_a_server_that_stays_broken_is_told(server: Failing):
    server.failures = 100
    with pytest.raises(ComponentError, match="answered 500"):
        client(server).get("/api/v2/pools")
    assert server.calls == 6


def test_a_refusal_keeps_its_status_and_the_servers_own_sentence(server: Failing):
    server.refusal = b'{"detail": "somebody else has it.", "lease": {"id": "7"}}'
    with pytest.raises(Refused, match=r"was refused \(409\): somebody else has it\.") as refused:
        client(server).post("/api/v2/pools", {})
    assert (refused.value.status, refused.value.detail, refused.value.body["lease"]) == (409, "somebody else has it.", {"id": "7"})


def test_a_refusal_that_is_no_json_is_still_told(server: Failing):
    server.refusal = b"<html>no</html>"
    with pytest.raises(Refused, match="<html>no</html>") as refused:
        client(server).get("/api/v2/pools")
    assert refused.value.body == {}


def test_a_read_that_gets_no_answer_is_made_again_while_there_is_patience(monkeypatch: pytest.MonkeyPatch, server: Failing) -> None:
    """The server closes the connection of the first two calls without a word."""
    monkeypatch.setattr(airflow_api, "PAUSE_S", 0.01)
    url, said = f"http://127.0.0.1:{server.server_port}", []
    real, left = Handler.do_GET, [2]

    def silent(self: Handler) -> None:
        left[0] -= 1
        if left[0] < 0:
            real(self)

    monkeypatch.setattr(Handler, "do_GET", silent)
    assert AirflowApi(url, "a", "b", patience_s=60, say=said.append).get("/x") is not None
    assert len(said) == 2 and all("got no answer" in line for line in said)
    left[0] = 1
    with pytest.raises(ComponentError, match="got no answer"):
        AirflowApi(url, "a", "b").get("/x")
