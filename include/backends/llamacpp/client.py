"""llama.cpp with a GGUF model, as a step asks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.backends.client import ChatServer, Get, Messages, Program, Reading, running
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

    def serves(get: Get) -> bool:
        get("/health")
        return bool(get("/props").get("model_path") == str(model))

    program = Program(LlamaCppServer.name, sys.executable, REPO / SERVER, model, LlamaCpp.causes, serves)
    with running(program, {"context": context, "parallel": parallel, "threads": threads}) as up:
        yield LlamaCppServer(up.url, up.key, parallel, up.process)
