"""The field ``serve``: one of the backends' own parts of a spec, told apart by ``backend``.

Backends are above the spec: their registry is found by its name, and what it lists is imported when the first spec is described.
"""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any

from pydantic import Discriminator, GetJsonSchemaHandler, Tag
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from include.errors import InputError
from include.spec.serve import Serve

REGISTRY = "include.backends.registry"


def serves(kind: str) -> tuple[type[Serve], ...]:
    """Return the classes of ``serve`` for models of this kind, the default first. Raises InputError when there are none."""
    found: tuple[type[Serve], ...] = import_module(REGISTRY).serves(kind)
    if not found:
        remedy = "Give a backend a class of `serve` with this `kind`, and name it in the backend's `serves`."
        raise InputError(f"no backend serves models of kind {kind!r}.", where=REGISTRY, remedy=remedy)
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
