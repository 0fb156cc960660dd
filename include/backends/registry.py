"""The backends that there are: a line each, its class by name, so that nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from include.errors import InputError
from include.spec.choice import named
from include.spec.serve import Serve

if TYPE_CHECKING:
    from include.backends.backend import Backend

BACKENDS = {
    "triton": "include.backends.triton.backend:Triton",
    "llamacpp": "include.backends.llamacpp.backend:LlamaCpp",
    "vllm": "include.backends.vllm.backend:Vllm",
    "ollama": "include.backends.ollama.backend:Ollama",
    "custom": "include.backends.custom.backend:Custom",
}
"""``serve.backend`` of a spec → its class. The first that serves a kind of models is that kind's default."""


@cache
def backend(name: str) -> Backend:
    """The backend of this name. Raises InputError when there is none."""
    if name not in BACKENDS:
        raise InputError(f"there is no backend {name!r}.", where="serve.backend", remedy=f"Use one of: {', '.join(BACKENDS)}.")
    module, _, attribute = BACKENDS[name].partition(":")
    found: Backend = getattr(importlib.import_module(module), attribute)()
    return found


@cache
def serves(kind: str) -> tuple[type[Serve], ...]:
    """The classes of ``serve`` for models of this kind, the default first."""
    return tuple(serve for name in BACKENDS for serve in backend(name).serves if serve.kind == kind)


def serve_of(kind: str, name: str) -> type[Serve]:
    """The class of ``serve`` for models of this kind on this backend. Raises InputError when they are not served so."""
    found = next((serve for serve in serves(kind) if named(serve) == name), None)
    if found is None:
        allowed = ", ".join(named(serve) for serve in serves(kind))
        raise InputError(f"backend {name!r} serves no models of kind {kind}.", where="serve.backend", remedy=f"Use one of: {allowed}.")
    return found
