"""A small server of KServe v2 over HTTP: a model that says whether the numbers of a row add up to more than 10, scaled by its wrapper."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from include.gateway.endpoint import Endpoint


class RowServer(ThreadingHTTPServer):
    """``scale`` is what its wrapper makes of the inputs; requests for rows of ``refuses`` in their first number are answered 500."""

    daemon_threads = True

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scale, self.refuses = scale, set[float]()
        self.asked: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def endpoint(self, model: str, revision: str) -> Endpoint:
        return Endpoint(model, revision, self.server_port)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Envoy hangs up when the test is over; nobody wants to read so."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RowServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        [tensor] = body["inputs"]
        rows, width = tensor["shape"]
        values = [tensor["data"][number * width : (number + 1) * width] for number in range(rows)]
        if values[0][0] in self.server.refuses:
            return self._answer(500, {"error": "no answer"})
        labels = [int(sum(row) * self.server.scale > 10) for row in values]
        self._answer(200, {"outputs": [{"name": "label", "datatype": "INT64", "shape": [rows, 1], "data": labels}]})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
