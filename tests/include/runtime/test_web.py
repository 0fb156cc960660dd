from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include.runtime import web


class Server(ThreadingHTTPServer):
    """Answers with the statuses in ``plan``, one after another, then with 200; ``seen`` holds method and headers of what was asked."""

    plan: list[int]
    seen: list[tuple[str, dict[str, str]]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, dict(self.headers)))
        status = self.server.plan.pop(0) if self.server.plan else 200
        answer = body or b'{"error": {"message": "busy"}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.plan, running.seen = [], []
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def test_what_a_server_fails_is_asked_again_and_the_last_answer_is_the_callers(server: Server) -> None:
    session = web.session(web.again(2, 0.001))
    server.plan = [500, 503]
    assert session.get(url(server)).status_code == 200 and len(server.seen) == 3
    server.plan = [500, 503, 502]
    assert session.get(url(server)).status_code == 502 and len(server.seen) == 6


def test_a_post_is_made_once_unless_it_may_be_repeated(server: Server) -> None:
    server.plan = [500]
    assert web.session(web.again(2, 0.001)).post(url(server), json={}).status_code == 500
    server.plan = [500]
    assert web.session(web.again(2, 0.001, methods=None)).post(url(server), json={}).status_code == 200


def test_a_refusal_is_final(server: Server) -> None:
    server.plan = [409]
    assert web.session(web.again(2, 0.001)).get(url(server)).status_code == 409 and len(server.seen) == 1


def test_a_login_in_netrc_replaces_no_header(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    web.ask("GET", url(server), headers={"Authorization": "Bearer mine"})
    web.ask("GET", url(server))
    assert [headers.get("Authorization") for _, headers in server.seen] == ["Bearer mine", None]


def test_a_question_is_asked_until_its_deadline(server: Server) -> None:
    server.plan = [503]
    body, problem = web.insist(url(server), {}, {"inputs": [float("nan")]}, 5, time.monotonic() + 60)
    assert (json.loads(body)["inputs"][0] != 0, problem) == (True, "") and len(server.seen) == 2
    server.plan = [503]
    assert web.insist(url(server), {}, {"error": "full"}, 5, 0.0) == (b"", "503: full")
    server.plan = [400]
    assert web.insist(url(server), {}, {"error": {"message": "no"}}, 5, time.monotonic() + 60) == (b"", "400: no")


def test_nobody_there_is_said() -> None:
    body, problem = web.insist("http://127.0.0.1:1/", {}, {}, 5, 0.0)
    assert body == b"" and problem.startswith("no answer (")
