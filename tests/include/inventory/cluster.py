"""A Kubernetes API server that says what a real one said (recorded/: Kubernetes 1.20.2, one node with eight simulated GPUs, two pods)."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RECORDED = Path(__file__).parent / "recorded"


class Cluster:
    """``nodes`` and ``pods`` are the recorded lists; a test may change them. ``status`` other than 200 refuses every call."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = json.loads((RECORDED / "nodes.json").read_text())["items"]
        self.pods: list[dict[str, Any]] = json.loads((RECORDED / "pods.json").read_text())["items"]
        self.status = 200
        self.asked: list[str] = []
        self.patched: list[tuple[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return path

    @property
    def node(self) -> dict[str, Any]:
        return self.nodes[0]

    def offer(self, **capacity: int) -> None:
        """What the node offers: resource (dots and slashes spelt out by the caller) → count."""
        self.node["status"]["capacity"] = {name: str(count) for name, count in capacity.items()}
        self.node["status"]["allocatable"] = dict(self.node["status"]["capacity"])

    def pod(self, name: str, asks: dict[str, int], created: str = "2026-11-21T07:00:00Z", **metadata: Any) -> None:
        document = {
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "creationTimestamp": created, **metadata},
            "spec": {"nodeName": self.node["metadata"]["name"], "containers": [{"name": "c", "resources": {"limits": dict(asks)}}]},
        }
        self.pods.append(document)

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any] | None:
        items = {"/api/v1/nodes": self.nodes, "/api/v1/pods": self.pods}.get(path)
        if items is None:
            return None
        first, most = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        more = {"continue": str(first + most)} if first + most < len(items) else {}
        return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1", **more}, "items": items[first : first + most]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                cluster.patched.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self._send(cluster.status, {"kind": "Node"})

            def do_GET(self) -> None:
                cluster.asked.append(self.path)
                parts = urlsplit(self.path)
                found = cluster.answer(parts.path, parse_qs(parts.query))
                self._send(cluster.status if found is not None else 404, found)

            def _send(self, status: int, found: Any) -> None:
                body = json.dumps(found if status == 200 else {"message": "no"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler
