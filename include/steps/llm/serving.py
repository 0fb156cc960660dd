"""A model behind the server that its form is for: a GGUF file behind llama.cpp, a folder or an adapter behind vLLM."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from include.spec.llm import LlmServe
from include.steps.llm import llamacpp, vllm
from include.steps.llm.server import Server


def served(model: Path, serve: LlmServe, context: int) -> AbstractContextManager[Server]:
    """The server with ``model`` for conversations of ``context`` tokens; otherwise as ``serve`` says."""
    if model.is_file():
        return llamacpp.served(model, context, serve.parallel, serve.threads)
    own = serve.arguments if serve.backend == "vllm" else {}
    return vllm.served(model, serve.model_copy(update={"context": context, "arguments": own}))
