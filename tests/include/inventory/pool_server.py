"""The pool's side of a report, as small as it can be: takes what bears the right token, answers what a test has told it to."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class PoolServer:
    """``reports`` are (path, body) of those taken. ``answers`` are statuses to give before it works again; ``token`` is the right one."""

    def __init__(self, token: str = "right", port: int = 0) -> None:
        self.token = token
        self.answers: list[int] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.refused = 0
        self.cuts: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int, timeout_s: float = 60) -> None:
        """Until this many reports have been taken."""
        deadline = time.monotonic() + timeout_s
        while len(self.reports) < count:
            assert time.monotonic() < deadline, f"{len(self.reports)} of {count} reports, {self.refused} refused"
            time.sleep(0.01)

    def _status(self, authorization: str) -> int:
        if self.answers:
            return self.answers.pop(0)
        return 200 if authorization == f"Bearer {self.token}" else 401

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = server._status(self.headers.get("Authorization", ""))
                if status == 200:
                    server.reports.append((self.path, body))
                else:
                    server.refused += 1
                text = json.dumps({"accepted": True, "cuts": server.cuts} if status == 200 else {"detail": f"because {status}"}).encode()
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"{server.url}/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler
