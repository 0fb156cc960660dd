"""Pydantic's errors in the words of someone who writes a spec."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from include.spec.document import Document, FieldPath
from include.spec.parts import ENTRY, NAME
from include.spec.problem import Problem, nearest
from include.spec.schema import Spec

_KINDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_FORMS = {
    NAME: "lower-case letters, digits and underscores, beginning with a letter, at most 48",
    ENTRY: "`module:name` of a Python file in the model's folder",
}
_SHOWN = 60
BACKEND = "backend"
"""The field that tells the members of a union apart."""


def problems(error: ValidationError, doc: Document, schema: type[Spec]) -> list[Problem]:
    """One problem a field of ``schema``; the alternatives of a union are joined into one sentence."""
    wrong_kind: dict[FieldPath, list[str]] = {}
    out: list[Problem] = []
    for item in error.errors(include_url=False):
        at = _written(item["loc"], doc.value, missing=item["type"] == "missing")
        if item["type"] in _KINDS:
            kinds = wrong_kind.setdefault(at, [])
            kinds += [_KINDS[item["type"]]] if _KINDS[item["type"]] not in kinds else []
        else:
            if item["type"] == "union_tag_invalid":
                at = (*at, BACKEND)
            message, more = _sentence(item, at, schema, doc.value)
            out.append(doc.problem(at, message, **more))
    for at, kinds in wrong_kind.items():
        out.append(
            doc.problem(at, f"must be {_either(kinds)}, not {shown(_at(doc.value, at))}.", remedy=_description(at, schema, doc.value))
        )
    return out


def shown(value: Any) -> str:
    """A value as a user may recognise it, short."""
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _either(kinds: list[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def _written(loc: tuple[str | int, ...], value: Any, *, missing: bool) -> FieldPath:
    """The part of pydantic's location that is the user's: it adds the names of union members, which nobody wrote."""
    at: list[str | int] = []
    for index, part in enumerate(loc):
        known = part in value if isinstance(value, dict) else isinstance(part, int) and isinstance(value, list) and part < len(value)
        if not known and isinstance(value, dict) and index < len(loc) - 1:
            continue  # the member of a union whose field follows
        if not known:
            return (*at, part) if missing and part == loc[-1] else tuple(at)
        at.append(part)
        value = value[part]
    return tuple(at)


def _at(value: Any, at: FieldPath) -> Any:
    for part in at:
        value = value[part]
    return value


def _sentence(item: Any, at: FieldPath, schema: type[Spec], value: Any) -> tuple[str, dict[str, Any]]:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = tuple(part.model_fields) if (part := _part(at[:-1], schema, value)) else ()
        if having := _having(at, schema, value):
            return f"is no field of this {BACKEND}.", {"remedy": f"Only {' and '.join(having)} has it: leave it out, or change {BACKEND}."}
        return "unknown field.", {"allowed": known, "nearest": nearest(str(at[-1]), known)}
    if kind == "missing":
        return "is missing.", {"remedy": _description(at, schema, value)}
    if kind == "union_tag_invalid":
        allowed = tuple(context["expected_tags"].replace("'", "").split(", "))
        return f"{shown(context['tag'])} is not allowed.", {"allowed": allowed, "nearest": nearest(context["tag"], allowed)}
    if kind in ("enum", "literal_error"):
        allowed = tuple(context["expected"].replace(" or ", ", ").replace("'", "").split(", "))
        return f"{shown(item['input'])} is not allowed.", {"allowed": allowed, "nearest": nearest(str(item["input"]), allowed)}
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]}, not {shown(item['input'])}.", {"remedy": _description(at, schema, value)}
    if kind == "string_pattern_mismatch":
        form = _FORMS.get(context["pattern"], f"a text of the form {context['pattern']}")
        return f"must be {form}, not {shown(item['input'])}.", {"remedy": _description(at, schema, value)}
    return f"{item['msg'][0].lower()}{item['msg'][1:]}.", {"remedy": _description(at, schema, value)}


def _part(at: FieldPath, schema: type[Spec], value: Any) -> type[BaseModel] | None:
    """The part of the schema that describes the mapping at ``at``; of several that are told apart, the one that ``value`` names."""
    part: Any = schema
    for depth, name in enumerate(at):
        if isinstance(part, type) and issubclass(part, BaseModel):
            if name not in part.model_fields:
                return None
            part = part.model_fields[str(name)].annotation
        else:  # an item of a list, or a value of a mapping: the last type argument, but for tuples' ellipsis
            part = next((arg for arg in reversed(get_args(part)) if arg is not ...), None)
        if len(members := [one for one in map(_plain, get_args(_plain(part))) if _is_part(one)]) > 1:
            part = _named(members, _at(value, at[: depth + 1]))
        while get_args(part) and (hasattr(part, "__metadata__") or isinstance(part, UnionType)):  # Annotated[...], or `... | None`
            part = get_args(part)[0]
    return part if isinstance(part, type) and issubclass(part, BaseModel) else None


def _having(at: FieldPath, schema: type[Spec], value: Any) -> list[str]:
    """The members of a union that have the field at ``at``, by the names that tell them apart; none where there is no union."""
    parent = _part(at[:-2], schema, value) if len(at) > 1 else None
    field = parent.model_fields.get(str(at[-2])) if parent else None
    members = [one for one in map(_plain, get_args(_plain(field.annotation))) if _is_part(one)] if field else []
    return [str(one.model_fields[BACKEND].default) for one in members if BACKEND in one.model_fields and at[-1] in one.model_fields]


def _plain(part: Any) -> Any:
    """Without ``Annotated``."""
    return get_args(part)[0] if hasattr(part, "__metadata__") else part


def _is_part(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _named(members: list[type[BaseModel]], value: Any) -> type[BaseModel]:
    """The member of a union that the mapping ``value`` is of; the first where it names none."""
    wanted = value.get(BACKEND) if isinstance(value, dict) else None
    return next((one for one in members if BACKEND in one.model_fields and one.model_fields[BACKEND].default == wanted), members[0])


def _description(at: FieldPath, schema: type[Spec], value: Any) -> str:
    part = _part(at[:-1], schema, value) if at else None
    info = part.model_fields.get(str(at[-1])) if part else None
    return (info.description or "") if info else ""
