"""What Ollama is asked to make of a bundle, by the types of its own client and at a stand-in for its API; the server itself is tried in
test_contract.py where there is one."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.backends.ollama import server
from include.backends.ollama.backend import NATIVE, Ollama
from include.backends.ollama.spec import OllamaServe
from include.gateway.endpoint import Endpoint
from include.gateway.routes import routes
from include.gateway.table import Table

SERVE = OllamaServe(context=4096, parallel=2, threads=3, template="{{ .Prompt }}", system="Be brief.", keep_alive_s=60)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF, as good as any")
    planned = dict(Ollama().planned(SERVE))
    return planned | {"gguf": str(gguf), "alias": "talker", "tag": "revision-talker-1-abc", "store": str(tmp_path / "store")}


def test_the_context_template_and_system_are_baked_into_the_model(options):
    assert server.request(options, "abc") == {
        "files": {"model.gguf": "sha256:abc"},
        "parameters": {"num_ctx": 4096, "num_thread": 3},
        "template": "{{ .Prompt }}",
        "system": "Be brief.",
    }
    assert server.modelfile(options).splitlines()[1:] == [
        "PARAMETER num_ctx 4096",
        "PARAMETER num_thread 3",
        'TEMPLATE """{{ .Prompt }}"""',
        'SYSTEM """Be brief."""',
    ]
    assert server.environment(options | {"host": "127.0.0.1", "port": 1})["OLLAMA_KEEP_ALIVE"] == "60s"
    plain = options | {"template": "", "system": "", "threads": None, "keep_alive_s": None, "host": "h", "port": 1}
    assert set(server.request(plain, "abc")) == {"files", "parameters"}
    assert server.environment(plain)["OLLAMA_KEEP_ALIVE"] == "-1s"


def test_the_request_is_one_that_its_own_client_would_send(options):
    types = pytest.importorskip("ollama._types", reason="Ollama's client is not installed")
    made = types.CreateRequest(model="loading", stream=False, **server.request(options, "abc")).model_dump(exclude_none=True)
    assert made["files"] == {"model.gguf": "sha256:abc"} and made["parameters"]["num_ctx"] == 4096


def test_the_file_is_named_by_its_digest_and_not_copied(options, tmp_path):
    digest = server.lay_in(Path(options["gguf"]), tmp_path / "store")
    assert digest == hashlib.sha256(b"GGUF, as good as any").hexdigest()
    assert (tmp_path / "store" / "blobs" / f"sha256-{digest}").samefile(options["gguf"])


def test_the_alias_is_given_once_the_model_is_loaded(options):
    ollama = pytest.importorskip("ollama", reason="Ollama's client is not installed")
    asked: list[tuple[str, dict[str, Any]]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            text = json.dumps({"status": "success", "response": "", "done": True}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True).start()
        server.make(ollama.Client(host=f"http://127.0.0.1:{api.server_port}"), options, "abc")
        api.shutdown()
    assert [path for path, _ in asked] == ["/api/create", "/api/generate", "/api/copy", "/api/copy"]
    assert asked[1][1]["keep_alive"] == "60s"
    assert [body["destination"] for _, body in asked[2:]] == ["talker:revision-talker-1-abc", "talker"]


def test_its_own_clients_reach_what_makes_and_deletes_nothing():
    endpoint = Endpoint("talker", "1", 8100, protocol="openai", health="/v1/models/talker", passes=Ollama().passes(SERVE))
    (table,) = routes(Table().add(endpoint).split("talker", {"1": 100}), "secret")
    found = {
        route["match"]["prefix"]: route["route"]
        for route in table["virtual_hosts"][0]["routes"]
        if "prefix" in route["match"] and "route" in route
    }
    assert {prefix: action["prefix_rewrite"] for prefix, action in found.items()} == {f"/models/talker{path}": path for path in NATIVE}
    assert not any(word in path for path in NATIVE for word in ("create", "delete", "pull", "push", "copy", "blobs"))
