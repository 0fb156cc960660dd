"""llama.cpp with a GGUF model, as a step asks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.backends.client import ChatServer, Messages, Program, Reading, answer, running
from include.backends.llamacpp.backend import SERVER, LlamaCpp
from include.runtime.settings import REPO


class LlamaCppServer(ChatServer):
    """llama.cpp, up."""

    name = "llama.cpp"

    def reading(self, prompt: Messages) -> Reading:
        text = str(self._post("/apply-template", {"messages": list(prompt)})["prompt"])
        return Reading(self.tokens(text), text)

    def tokens(self, text: str) -> list[int]:
        """The ids of ``text``; special tokens in it count as such."""
        return list(self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"])


@contextmanager
def served(model: Path, context: int, parallel: int, threads: int | None = None) -> Iterator[LlamaCppServer]:
    """llama.cpp with ``model``, stopped in the end. ``ComponentError`` with the end of its log when it does not come up."""

    def serves(url: str) -> bool:
        answer(f"{url}/health")
        return bool(answer(f"{url}/props").get("model_path") == str(model))

    program = Program(LlamaCppServer.name, sys.executable, REPO / SERVER, model, LlamaCpp.causes, serves)
    with running(program, {"context": context, "parallel": parallel, "threads": threads}) as (url, process):
        yield LlamaCppServer(url, parallel, process)
