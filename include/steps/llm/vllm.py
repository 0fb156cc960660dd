"""vLLM with a Hugging Face model, as a step asks it: in the runtime `vllm`, beside the step's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.errors import InputError
from include.serving.vllm import SERVER, options
from include.serving.vllm import Vllm as Engine
from include.spec.llm import LlmServe
from include.steps.llm.server import Messages, Program, Server, answer, running


class Vllm(Server):
    """vLLM, up."""

    name = "vLLM"

    def prompt_tokens(self, messages: Messages) -> list[int]:
        """The ids that the model is given for a prompt, by its chat template."""
        return list(self._post("/tokenize", {"messages": list(messages), "add_generation_prompt": True})["tokens"])


@contextmanager
def served(model: Path, serve: LlmServe) -> Iterator[Vllm]:
    """vLLM with the ``model`` (a folder), stopped in the end. ``ComponentError`` with the end of its log when it does not come up."""
    python = Path(sys.prefix).parent / "vllm" / "bin" / "python"
    if not python.exists():
        raise InputError("runtime vllm is not installed.", where=str(python), remedy="Run `make install-vllm`.")

    def serves(url: str) -> bool:
        answer(f"{url}/health")
        return any(one["root"] == str(model) for one in answer(f"{url}/v1/models")["data"])

    program = Program(Vllm.name, str(python), SERVER, model, Engine.causes, serves)
    with running(program, options(model, serve) | {"drain_s": 0}) as (url, process):
        yield Vllm(url, serve.parallel, process)
