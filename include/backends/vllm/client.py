"""vLLM with a Hugging Face model, as a step asks it: in the runtime `vllm`, beside the step's own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from include.backends.client import HOST, START_S, ChatServer, Get, Messages, Program, Reading, check_reading, free_port, new_key, running
from include.backends.vllm.backend import SERVER, Vllm, options
from include.backends.vllm.spec import VllmServe
from include.bundles.adapter import Adapter, is_adapter
from include.errors import ComponentError, InputError
from include.runtime.revision_key import HEADER
from include.runtime.settings import REPO

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class VllmServer(ChatServer):
    """vLLM, up."""

    name = "vLLM"

    def reading(self, prompt: Messages) -> Reading:
        return Reading(list(self._post("/tokenize", {"messages": list(prompt), "add_generation_prompt": True})["tokens"]))


PROMPTS = "include/backends/vllm/prompts.py"


def compare_base(folder: Path, tokenizer: PreTrainedTokenizerBase, template: str | None, prompts: Sequence[Messages]) -> str:
    """Ask vLLM's renderer alone, without its engine, what it makes of prompts by this ``template`` or the folder's own; what was compared,
    in a sentence.

    InputError when it reads one otherwise than the tokenizer does. ``ComponentError`` with the end of its output when it does not tell.
    """
    python = _python()
    if not python.exists():
        return "Runtime vllm is not installed here: what it makes of prompts is compared once the model is trained."
    with tempfile.TemporaryDirectory(prefix="prompts-") as home:
        request = Path(home) / "request.json"
        request.write_text(json.dumps({"model": str(folder), "template": template, "prompts": [list(prompt) for prompt in prompts]}))
        command = [str(python), "-P", str(REPO / PROMPTS), str(request)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    if done.returncode:
        what = f"did not tell what it makes of prompts: {done.stderr.strip()[-400:]}"
        raise ComponentError(what, where="vLLM", remedy="Does its runtime work?")
    for prompt, ids in zip(prompts, json.loads(done.stdout.splitlines()[-1]), strict=True):
        check_reading("vLLM", tokenizer, prompt, Reading(list(ids)), f"base: {folder}")
    return f"{len(prompts)} awkward prompts are the same tokens in training and in vLLM."


def _python() -> Path:
    return Path(sys.prefix).parent / "vllm" / "bin" / "python"


@contextmanager
def served(model: Path, serve: VllmServe) -> Iterator[VllmServer]:
    """vLLM with the ``model`` (a folder, or that of an adapter), stopped in the end.

    ``ComponentError`` with the end of its log when it does not come up, or does not take the adapter.
    """
    python = _python()
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
