"""vLLM with a Hugging Face model, as a step asks it: in the runtime `vllm`, beside the step's own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.backends.backend import HEADER
from include.backends.client import HOST, ChatServer, Get, Messages, Program, Reading, free_port, new_key, running
from include.backends.vllm.backend import SERVER, Vllm, options
from include.backends.vllm.spec import VllmServe
from include.bundles.adapter import Adapter, is_adapter
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO


class VllmServer(ChatServer):
    """vLLM, up."""

    name = "vLLM"

    def reading(self, prompt: Messages) -> Reading:
        return Reading(list(self._post("/tokenize", {"messages": list(prompt), "add_generation_prompt": True})["tokens"]))


@contextmanager
def served(model: Path, serve: VllmServe) -> Iterator[VllmServer]:
    """vLLM with the ``model`` (a folder, or that of an adapter), stopped in the end.

    ``ComponentError`` with the end of its log when it does not come up, or does not take the adapter.
    """
    python = Path(sys.prefix).parent / "vllm" / "bin" / "python"
    if not python.exists():
        raise InputError("runtime vllm is not installed.", where=str(python), remedy="Run `make install-vllm`.")

    def serves(get: Get) -> bool:
        if error.exists():
            raise ComponentError(f"could not load the adapter: {error.read_text()}", where=str(model))
        get("/health")
        return any(one["root"] == str(model) for one in get("/v1/models")["data"])

    program = Program(VllmServer.name, str(python), REPO / SERVER, model, Vllm.causes, serves)
    with tempfile.TemporaryDirectory(prefix="adapter-") as folder:
        known, error, port, key = Path(folder) / "adapters.json", Path(folder) / "error.txt", free_port(), new_key()
        if is_adapter(model):
            one = {"name": "one", "alias": "model", "host": HOST, "port": port, "path": str(model), "error": str(error)}
            known.write_text(json.dumps([one | {"guard": {"header": HEADER, "key": key}}]))
            base = Adapter.read(model).base
            told = options(base, serve) | {"model": str(base), "alias": "base", "adapters": str(known), "guard": {}}
        else:
            told = options(model, serve)
        with running(program, told | {"drain_s": 0}, port, key) as up:
            yield VllmServer(up.url, up.key, serve.parallel, up.process)
