"""A small server of OpenAI's API, for what Envoy does with it: it answers with what it was asked and streams at the test's pace."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Sequence
from typing import Any

from include.gateway.endpoint import Endpoint
from tests.include.gateway.small_server import SmallHandler, SmallServer

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


class Talker(SmallServer):
    """``pieces`` are what it streams, byte for byte; ``cut`` ends a stream without an end.

    ``says`` holds answers to prompts; while it holds any, others are answered with 500.
    ``refuses``, a status and a body, is all it answers while it is set.
    ``packs``: it compresses its answers for those who take that.
    ``go_on`` lets a stream pass on to its next piece, and a request with `wait` be answered.
    """

    def __init__(self) -> None:
        self.go_on = threading.Semaphore(0)
        self.pieces: Sequence[bytes] = ()
        self.cut = self.packs = False
        self.asked: list[dict[str, Any]] = []
        self.says: dict[str, str] = {}
        self.refuses: tuple[int, dict[str, Any]] | None = None
        super().__init__(_Handler)

    def endpoint(self, model: str, revision: str) -> Endpoint:
        return Endpoint(model, revision, self.server_port, protocol="openai")


class _Handler(SmallHandler):
    server: Talker

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = self.asked()
        self.server.asked.append({"headers": dict(self.headers), "body": body, "path": self.path})
        if self.server.refuses:
            return self._answer(*self.server.refuses)
        if body.get("wait"):
            self.server.go_on.acquire(timeout=10)
        if body.get("stream"):
            return self._stream()
        if self.server.says:
            return self._say(body["messages"][-1]["content"])
        found = {"choices": [{"message": {"content": '"prompt_tokens": 99'}, "finish_reason": "length"}], "usage": USAGE}
        if self.server.packs and "gzip" in self.headers.get("accept-encoding", ""):
            return self._pack(found)
        self._answer(200, found)

    def _pack(self, body: dict[str, Any]) -> None:
        text = gzip.compress(json.dumps(body).encode())
        self.send_response(200)
        for name, value in {"content-type": "application/json", "content-encoding": "gzip", "content-length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def _say(self, prompt: str) -> None:
        if prompt not in self.server.says:
            return self._answer(500, {"error": "no answer"})
        self._answer(200, {"choices": [{"message": {"content": self.server.says[prompt]}, "finish_reason": "stop"}], "usage": USAGE})

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, piece in enumerate(self.server.pieces):
            if number:
                self.server.go_on.acquire(timeout=10)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if self.server.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")
