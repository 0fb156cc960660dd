"""The parameters of a run as JSON schemas: those of rollbacks and batches, and whether a value is one that a schema allows. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from include.spec.names import DATA_SOURCE
from include.spec.problem import nearest

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

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


PROMPTS_PARAMS: dict[str, dict[str, Any]] = {
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
        "maxLength": MAX_TEXT,
        "title": "Priced as",
        "description": "The machine whose price is taken (`python -m include.gateway usage --help` lists them).",
    },
}
"""The parameters of a batch of prompts, in the same form."""
ROWS_PARAMS: dict[str, dict[str, Any]] = {
    "input": PROMPTS_PARAMS["input"]
    | {
        "description": "A .csv (written as `data.csv` of the spec says) or .parquet file of rows with the model's columns, below the "
        "folder `.updraft/batch`; `snapshot` for the rows that the champion was made from, `snapshot:<MD5>` for another snapshot's.",
    },
    "output": PROMPTS_PARAMS["output"],
    "shards": PROMPTS_PARAMS["shards"],
    "concurrency": PROMPTS_PARAMS["concurrency"]
    | {
        "title": "Requests at once",
        "description": "At most; fewer while others ask the model. Empty: one for each copy of the model in the server.",
    },
    "instance": PROMPTS_PARAMS["instance"],
}
"""The same of a batch of rows."""
LABELLING_PARAMS: dict[str, dict[str, Any]] = {
    "tasks": {
        "type": ["null", "integer"],
        "default": None,
        "minimum": 1,
        "maximum": 100_000,
        "title": "Tasks",
        "description": "Rows that people are asked about in this round. Empty: as many as `label.tasks` of the spec says.",
    },
}
"""The parameters of a round of labelling, in the same form."""


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
    """Say why the JSON schema does not allow ``value``; None when it does.

    Stricter than JSON schema in two things: 5.0 is no integer, and a text holds no NUL character.
    """
    found = sorted(_validator(schema).iter_errors(value), key=lambda error: (len(error.absolute_path), error.validator != "type"))
    if not found:
        return "holds a NUL character." if isinstance(value, str) and "\0" in value else None
    why = _WHY.get(str(found[0].validator), lambda error: f"{_said(error.instance)} is not allowed: {error.message}.")(found[0])
    return "".join(f"item {place + 1}: " for place in found[0].absolute_path) + why


def _validator(schema: Mapping[str, Any]) -> Validator:
    from jsonschema.validators import Draft202012Validator, extend

    def whole(_: Any, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    strict = extend(Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", whole))
    return cast("Validator", strict(schema))


def _types(error: ValidationError) -> str:
    types = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    return f"must be {' or '.join(_WORDS[kind] for kind in types)}, not {_said(error.instance)}."


def _items(error: ValidationError) -> str:
    return f"must have {error.schema['minItems']} to {error.schema['maxItems']} items, not {len(error.instance)}."


_WHY: dict[str, Callable[[ValidationError], str]] = {
    "type": _types,
    "enum": lambda error: f"{_said(error.instance)} is not allowed. Allowed: {', '.join(map(str, error.validator_value))}.",
    "minLength": lambda error: f"is too short: {error.validator_value} characters at least.",
    "maxLength": lambda error: f"is longer than {error.validator_value} characters.",
    "minItems": _items,
    "maxItems": _items,
    "minimum": lambda error: f"{_said(error.instance)} is below the minimum {error.validator_value:g}.",
    "exclusiveMinimum": lambda error: f"{_said(error.instance)} must be above {error.validator_value:g}.",
    "maximum": lambda error: f"{_said(error.instance)} is above the maximum {error.validator_value:g}.",
}
"""What is said of a value that breaks a rule of its schema, by the rule's keyword."""


def _said(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."
