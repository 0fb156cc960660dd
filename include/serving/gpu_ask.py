"""What a revision asks of the GPU pool."""

from __future__ import annotations

import math
from pathlib import Path

from include.pool.ask import Ask
from include.serving import vllm_model
from include.serving.chat_bundle import FOLDER
from include.serving.engine import AnyServe
from include.spec.llm import LlmServe
from include.spec.resources import AUTO, ask_for


def gpu_ask(serve: AnyServe, bundle: Path) -> Ask | None:
    """None when it needs no GPU. ``memory: auto`` is what vLLM is estimated to need for the bundle's model, context and conversations."""
    resources = serve.resources
    if resources is None:
        return None
    if resources.memory == AUTO:
        assert isinstance(serve, LlmServe)  # the spec's check
        resources = resources.model_copy(update={"memory": math.ceil(vllm_model.needed_mib(bundle / FOLDER, serve))})
    return ask_for(resources, bundle, "serve.resources")
