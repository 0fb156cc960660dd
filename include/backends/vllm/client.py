"""vLLM with a Hugging Face model, as a step asks it: in the runtime `vllm`, beside the step's own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.backends.client import HOST, ChatServer, Messages, Program, Reading, answer, free_port, running
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

    def serves(url: str) -> bool:
        if error.exists():
            raise ComponentError(f"could not load the adapter: {error.read_text()}", where=str(model))
        answer(f"{url}/health")
        return any(one["root"] == str(model) for one in answer(f"{url}/v1/models")["data"])

    program = Program(VllmServer.name, str(python), REPO / SERVER, model, Vllm.causes, serves)
    with tempfile.TemporaryDirectory(prefix="adapter-") as folder:
        known, error, port = Path(folder) / "adapters.json", Path(folder) / "error.txt", free_port()
        if is_adapter(model):
            one = {"name": "one", "alias": "model", "host": HOST, "port": port, "path": str(model), "error": str(error)}
            known.write_text(json.dumps([one]))
            base = Adapter.read(model).base
            told = options(base, serve) | {"model": str(base), "alias": "base", "port": 0, "adapters": str(known)}
        else:
            told = options(model, serve)
        with running(program, told | {"drain_s": 0}, port) as (url, process):
            yield VllmServer(url, serve.parallel, process)
