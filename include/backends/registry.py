"""The backends that there are: a line each, its class by name, so that nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from functools import cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, GetJsonSchemaHandler, Tag
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from include.errors import InputError
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


def named(serve: type[Serve]) -> str:
    """The backend that a class of ``serve`` is of."""
    return str(serve.model_fields["backend"].default)


def choice(kind: str) -> Any:
    """The type of the field ``serve``: one of the backends' own parts, told apart by ``backend``; the first when that is left out."""
    options = serves(kind)
    union = reduce(or_, [Annotated[serve, Tag(named(serve))] for serve in options])

    def told_apart(value: Any) -> Any:
        return value.get("backend", named(options[0])) if isinstance(value, dict) else getattr(value, "backend", None)

    return Annotated[union, Discriminator(told_apart), _FirstByDefault(options)]


class _FirstByDefault:
    """The union's JSON schema by `if` and `then`: who writes no ``backend`` means the first, and editors complete by its schema alone."""

    def __init__(self, options: tuple[type[Serve], ...]) -> None:
        self._options = options

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        handler(schema)  # puts every option among the definitions
        refs = {named(serve): handler(serve.__pydantic_core_schema__) for serve in self._options}
        first = named(self._options[0])
        found: JsonSchemaValue = dict(refs[first])
        for name, ref in refs.items():
            if name != first:
                found = {"if": {"properties": {"backend": {"const": name}}, "required": ["backend"]}, "then": ref, "else": found}
        return found
