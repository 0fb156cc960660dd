"""llama.cpp with a GGUF model, as a step asks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.backends.llamacpp.backend import SERVER
from include.backends.llamacpp.backend import LlamaCpp as Backend
from include.kinds.llm.server import Messages, Program, Server, answer, running


class LlamaCpp(Server):
    """llama.cpp, up."""

    name = "llama.cpp"

    def prompt(self, messages: Messages) -> str:
        """The text that the model is given for a prompt, by its chat template."""
        return str(self._post("/apply-template", {"messages": list(messages)})["prompt"])

    def tokens(self, text: str) -> list[int]:
        """The ids of ``text``; special tokens in it count as such."""
        return list(self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"])


@contextmanager
def served(model: Path, context: int, parallel: int, threads: int | None = None) -> Iterator[LlamaCpp]:
    """llama.cpp with ``model``, stopped in the end. ``ComponentError`` with the end of its log when it does not come up."""

    def serves(url: str) -> bool:
        answer(f"{url}/health")
        return bool(answer(f"{url}/props").get("model_path") == str(model))

    program = Program(LlamaCpp.name, sys.executable, SERVER, model, Backend.causes, serves)
    with running(program, {"context": context, "parallel": parallel, "threads": threads}) as (url, process):
        yield LlamaCpp(url, parallel, process)
