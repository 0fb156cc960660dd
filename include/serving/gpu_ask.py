"""What a revision asks of the GPU pool."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from include.pool.ask import Ask
from include.serving import vllm, vllm_model
from include.serving.adapter import Adapter
from include.serving.chat_bundle import ADAPTER, FOLDER, form
from include.serving.engine import AnyServe
from include.serving.lease import key
from include.spec.llm import LlmServe
from include.spec.resources import AUTO, ask_for


def gpu_ask(serve: AnyServe, bundle: Path) -> Ask | None:
    """None when it needs no GPU. ``memory: auto`` is what vLLM is estimated to need for the bundle's model, context and conversations; for
    an adapter, the base with room for all adapters. A server has no end of its own, unless its spec says how long it lasts."""
    resources = serve.resources
    if resources is None:
        return None
    if resources.memory == AUTO:
        assert isinstance(serve, LlmServe)  # the spec's check
        model = Adapter.read(bundle / ADAPTER).base if form(bundle) == ADAPTER else bundle / FOLDER
        resources = resources.model_copy(update={"memory": math.ceil(vllm_model.needed_mib(model, serve))})
    ask = ask_for(resources, bundle, "serve.resources")
    return replace(ask, endless=ask.duration_s is None)


def lease_key(model: str, version: int, serve: AnyServe, bundle: Path) -> str:
    """What the revision asks the pool under: revisions that share a server share its lease."""
    shared = vllm.server(bundle, serve) if isinstance(serve, LlmServe) and serve.backend == "vllm" else ""
    return key("base", shared.removeprefix("revision-base-")) if shared else key(model, version)
