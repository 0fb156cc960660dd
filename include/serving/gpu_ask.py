"""What a revision asks of the GPU pool."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from include.backends.registry import backend
from include.pool.ask import Ask
from include.serving.lease import key
from include.spec.parts import AUTO
from include.spec.resources import ask_for
from include.spec.serve import Serve


def gpu_ask(serve: Serve, bundle: Path) -> Ask | None:
    """None when it needs no GPU. ``memory: auto`` is what the backend is estimated to need for the bundle. A server has no
    end of its own, unless its spec says how long it lasts."""
    resources = serve.resources
    if resources is None:
        return None
    if resources.memory == AUTO:
        resources = resources.model_copy(update={"memory": math.ceil(backend(serve.backend).needed_mib(bundle, serve))})
    ask = ask_for(resources, bundle, "serve.resources")
    return replace(ask, endless=ask.duration_s is None)


def lease_key(model: str, version: int, serve: Serve, bundle: Path, number: int = 1) -> str:
    """What a revision's server of a number asks the pool under: revisions that share a server share its lease."""
    shared = backend(serve.backend).shared(bundle, serve)
    return key("base", shared.removeprefix("revision-base-")) if shared else key(model, version, number)
