"""A model behind the server that its form is for: a GGUF file behind llama.cpp, a folder or an adapter behind vLLM."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from include.backends.llamacpp import client as llamacpp
from include.backends.vllm import client as vllm
from include.kinds.llm.server import Server
from include.spec.llm import LlmServe


def served(model: Path, serve: LlmServe, context: int) -> AbstractContextManager[Server]:
    """The server with ``model`` for conversations of ``context`` tokens; otherwise as ``serve`` says."""
    if model.is_file():
        return llamacpp.served(model, context, serve.parallel, serve.threads)
    own = serve.arguments if serve.backend == "vllm" else {}
    return vllm.served(model, serve.model_copy(update={"context": context, "arguments": own}))
