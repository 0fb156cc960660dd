"""The parameters of a run as JSON schemas: those of rollbacks and batches, and whether a value is one that a schema allows. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from include.spec.names import DATA_SOURCE
from include.spec.problem import nearest

MAX_CONF_BYTES = 64 * 1024
MAX_TEXT = 4096
_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "null": "null",
}


ROLLBACK_PARAMS: dict[str, dict[str, Any]] = {
    "version": {
        "type": ["null", "integer"],
        "default": None,
        "minimum": 1,
        "title": "Version",
        "description": "The model version to return to. Empty: the one that was champion before.",
    },
    "reason": {
        "type": ["null", "string"],
        "default": None,
        "maxLength": 1000,
        "title": "Reason",
        "description": "Why, for the record: it is kept with the return, and with a trial that it ends.",
    },
}
"""The parameters of a rollback by hand, in the same form."""


BATCH_PARAMS: dict[str, dict[str, Any]] = {
    "input": {
        "type": "string",
        "default": "snapshot",
        "minLength": 1,
        "maxLength": MAX_TEXT,
        "title": "Input",
        "description": "A JSON Lines file of chats or prompts, below the folder `.updraft/batch`; `snapshot` for the chats that the "
        "champion was made from, `snapshot:<MD5>` for another snapshot's.",
    },
    "output": {
        "type": ["null", "string"],
        "default": None,
        "maxLength": 1024,
        "title": "Output",
        "description": "A folder for the answers, below the same folder; one with a part of this batch's answers is gone on with. Empty: "
        "one of the run's own.",
    },
    "shards": {
        "type": "integer",
        "default": 8,
        "minimum": 1,
        "maximum": 1000,
        "title": "Shards",
        "description": "Parts, each a task of its own that may be cleared and is tried again by itself.",
    },
    "max_tokens": {
        "type": ["null", "integer"],
        "default": None,
        "minimum": 1,
        "maximum": 1_000_000,
        "title": "Longest answer (tokens)",
        "description": "Empty: as long as a conversation with the model may be.",
    },
    "temperature": {
        "type": "number",
        "default": 0.0,
        "minimum": 0,
        "maximum": 2,
        "title": "Temperature",
        "description": "0: the likeliest answer.",
    },
    "concurrency": {
        "type": ["null", "integer"],
        "default": None,
        "minimum": 1,
        "maximum": 1024,
        "title": "Prompts at once",
        "description": "At most; fewer while others ask the model. Empty: as many as the server answers at once, but for one.",
    },
    "instance": {
        "type": "string",
        "default": "g4dn.xlarge",
        "title": "Priced as",
        "description": "The machine whose price is taken (`python -m include.gateway usage --help` lists them).",
    },
}
"""The parameters of a batch, in the same form."""


def check_against(schemas: Mapping[str, Mapping[str, Any]], conf: object) -> list[str]:
    """Return what is wrong with a run's ``conf``, one sentence a param that names it, each by itself; empty when it may be used."""
    if conf is None:
        return []
    if not isinstance(conf, Mapping):
        return [f"conf: must be a mapping of parameters, not {_said(conf)}."]
    try:
        size = len(json.dumps(conf, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        return [f"conf: is no plain JSON ({error})."]
    if size > MAX_CONF_BYTES:
        return [f"conf: {size} bytes are more than the {MAX_CONF_BYTES} allowed. Put data in a file and name it in `{DATA_SOURCE}`."]
    return [fault for name, value in conf.items() if (fault := _fault(str(name), value, schemas))]


def _fault(name: str, value: Any, schemas: Mapping[str, Mapping[str, Any]]) -> str | None:
    if name not in schemas:
        near = nearest(name, list(schemas))
        return f"{name[:80]}: unknown parameter. {f'Did you mean `{near}`?' if near else 'Known: ' + ', '.join(schemas) + '.'}"
    why = mismatch(value, schemas[name])
    return f"{name}: {why}" if why else None


def mismatch(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why ``value`` is none that ``schema`` (the subset of JSON schema that ``run_params`` uses) allows; None when it is.

    Stricter than JSON schema in one thing: 5.0 is no integer.
    """
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is(value, kind) for kind in types):
        return f"must be {' or '.join(_WORDS[kind] for kind in types)}, not {_said(value)}."
    if "enum" in schema and value not in schema["enum"]:
        return f"{_said(value)} is not allowed. Allowed: {', '.join(map(str, schema['enum']))}."
    if isinstance(value, str):
        return _text_mismatch(value, schema)
    if isinstance(value, list):
        return _list_mismatch(value, schema)
    return None if isinstance(value, bool) or value is None else _range_mismatch(value, schema)


def _text_mismatch(value: str, schema: Mapping[str, Any]) -> str | None:
    if len(value) > schema.get("maxLength", MAX_TEXT):
        return f"is longer than {schema.get('maxLength', MAX_TEXT)} characters."
    return "holds a NUL character." if "\0" in value else None


def _list_mismatch(value: list[Any], schema: Mapping[str, Any]) -> str | None:
    if not schema["minItems"] <= len(value) <= schema["maxItems"]:
        return f"must have {schema['minItems']} to {schema['maxItems']} items, not {len(value)}."
    return next((f"item {n}: {why}" for n, item in enumerate(value, 1) if (why := mismatch(item, schema["items"]))), None)


def _range_mismatch(value: float, schema: Mapping[str, Any]) -> str | None:
    if "minimum" in schema and value < schema["minimum"]:
        return f"{_said(value)} is below the minimum {schema['minimum']:g}."
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return f"{_said(value)} must be above {schema['exclusiveMinimum']:g}."
    if "maximum" in schema and value > schema["maximum"]:
        return f"{_said(value)} is above the maximum {schema['maximum']:g}."
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, type | tuple[type, ...]] = {"null": type(None), "integer": int, "number": (int, float), "string": str, "array": list}
    return kind in kinds and isinstance(value, kinds[kind])


def _said(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."
