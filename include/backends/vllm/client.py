"""vLLM with a Hugging Face model, as a step asks it: in the runtime `vllm`, beside the step's own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from include.backends.vllm.backend import SERVER, options
from include.backends.vllm.backend import Vllm as Backend
from include.bundles.adapter import Adapter, is_adapter
from include.errors import ComponentError, InputError
from include.kinds.llm.server import HOST, START_S, Messages, Program, Server, answer, free_port, running
from include.spec.llm import LlmServe


class Vllm(Server):
    """vLLM, up."""

    name = "vLLM"

    def prompt_tokens(self, messages: Messages) -> list[int]:
        """The ids that the model is given for a prompt, by its chat template."""
        return list(self._post("/tokenize", {"messages": list(messages), "add_generation_prompt": True})["tokens"])


PROMPTS = Path(__file__).with_name("prompts.py")


def prompts_as_tokens(model: Path, template: str | None, prompts: Sequence[Messages]) -> list[list[int]] | None:
    """The ids that vLLM gives the ``model`` (a folder) for each prompt, by this template or its own, found out without its engine.

    None when the runtime is not installed here. ``ComponentError`` with the end of its output when it does not tell.
    """
    python = _python()
    if not python.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="prompts-") as folder:
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"model": str(model), "template": template, "prompts": [list(prompt) for prompt in prompts]}))
        done = subprocess.run([str(python), "-P", str(PROMPTS), str(request)], capture_output=True, text=True, timeout=START_S, check=False)
    if done.returncode:
        raise ComponentError(
            f"did not tell what it makes of prompts: {done.stderr.strip()[-400:]}", where="vLLM", remedy="Does the runtime work?"
        )
    found: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _python() -> Path:
    return Path(sys.prefix).parent / "vllm" / "bin" / "python"


@contextmanager
def served(model: Path, serve: LlmServe) -> Iterator[Vllm]:
    """vLLM with the ``model`` (a folder, or that of an adapter), stopped in the end.

    ``ComponentError`` with the end of its log when it does not come up, or does not take the adapter.
    """
    python = _python()
    if not python.exists():
        raise InputError("runtime vllm is not installed.", where=str(python), remedy="Run `make install-vllm`.")

    def serves(url: str) -> bool:
        if error.exists():
            raise ComponentError(f"could not load the adapter: {error.read_text()}", where=str(model))
        answer(f"{url}/health")
        return any(one["root"] == str(model) for one in answer(f"{url}/v1/models")["data"])

    program = Program(Vllm.name, str(python), SERVER, model, Backend.causes, serves)
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
            yield Vllm(url, serve.parallel, process)
