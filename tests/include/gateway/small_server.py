"""A small HTTP server of a test's own, on a port that was free."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SmallServer(ThreadingHTTPServer):
    """Serves from the moment it is made until :meth:`close`."""

    daemon_threads = True

    def __init__(self, handler: type[SmallHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers hang up in these tests; nobody wants to read so."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class SmallHandler(BaseHTTPRequestHandler):
    """Speaks JSON, and logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def asked(self) -> Any:
        """Return the request's JSON."""
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
