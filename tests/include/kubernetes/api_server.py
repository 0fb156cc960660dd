"""A stand-in for a cluster's API server: it keeps what it is sent, and a pod runs at once. What only a real one can show is tested there
(`make test-cluster`)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>\w+)(?:/(?P<name>[\w.-]+))?"
)


class ApiServer(ThreadingHTTPServer):
    """``objects``: by plural and name; ``refuses``: plurals of which none can be made, with the status; ``asked``: method and path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.refuses: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str]] = []

    def client(self) -> Any:
        from kubernetes import client

        found = client.Configuration(host=f"http://127.0.0.1:{self.server_port}")
        found.retries = False
        return client.ApiClient(found)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        found = PATH.fullmatch(path)
        assert found, path
        plural, name = found["plural"], found["name"] or body.get("metadata", {}).get("name", "")
        status, answer = getattr(self, f"_{self.command.lower()}")(plural, name, body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = do_PATCH = _answer

    def _post(self, plural: str, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if plural in self.server.refuses:
            status, said = self.server.refuses[plural]
            return status, {"message": said}
        if (plural, name) in self.server.objects:
            return 409, {"message": f'{plural} "{name}" already exists'}
        body["metadata"]["uid"] = f"uid-{len(self.server.asked)}"
        if plural == "pods":
            body["status"] = {"phase": "Running"}
        self.server.objects[plural, name] = body
        return 201, body

    def _get(self, plural: str, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not name:
            return 200, {"items": [found for (kind, _), found in self.server.objects.items() if kind == plural], "metadata": {}}
        found = self.server.objects.get((plural, name))
        return (200, found) if found else (404, {"message": f'{plural} "{name}" not found'})

    def _delete(self, plural: str, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        found = self.server.objects.pop((plural, name), None)
        return (200, found) if found else (404, {"message": f'{plural} "{name}" not found'})

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@contextmanager
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
