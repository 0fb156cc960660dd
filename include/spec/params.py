"""The parameters of one run: what the trigger form and the REST call may set, checked before anything runs. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from include.errors import InputError
from include.spec import consistency
from include.spec.llm import AnySpec, LlmSpec
from include.spec.names import BASE_MODEL, DATA_SOURCE, OVERRIDES, WORKERS
from include.spec.parts import Param
from include.spec.problem import nearest
from include.spec.schema import Canary, Gate, ModelSpec, OnInconclusive, Workers

S = TypeVar("S", bound=ModelSpec | LlmSpec)
MAX_CONF_BYTES = 64 * 1024
MAX_TEXT = 4096
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_FILES = {"table": "CSV or Parquet", "llm": "JSON Lines"}
_PARTS: dict[str, type[Gate] | type[Canary] | type[Workers]] = {"gate": Gate, "canary": Canary, "train": Workers}
_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "null": "null",
}
_PLATFORM: dict[str, dict[str, Any]] = {
    WORKERS: {"type": "integer", "title": "Workers", "minimum": 1, "maximum": 4096},
    "min_score": {"type": "number", "title": "Lowest score"},
    "approval": {"type": "boolean", "title": "Ask a person before deployment"},
    "canary_steps": {
        "type": "array",
        "title": "Canary steps (%)",
        "items": {"type": "integer", "minimum": 1, "maximum": 99},
        "minItems": 1,
        "maxItems": 20,
    },
    "canary_step_s": {"type": "number", "title": "Canary: length of a step (s)", "exclusiveMinimum": 0, "maximum": 7 * 24 * 3600},
    "canary_look_s": {"type": "number", "title": "Canary: time between looks (s)", "exclusiveMinimum": 0, "maximum": 3600},
    "canary_min_requests": {"type": "integer", "title": "Canary: least requests", "minimum": 1},
    "canary_on_inconclusive": {
        "type": "string",
        "title": "Canary: when evidence is too little",
        "enum": [choice.value for choice in OnInconclusive],
    },
    "canary_max_error_rate": {"type": "number", "title": "Canary: highest error rate", "exclusiveMinimum": 0, "maximum": 1},
}


ROLLBACK_PARAMS: dict[str, dict[str, Any]] = {
    "version": {
        "type": ["null", "integer"],
        "default": None,
        "minimum": 1,
        "title": "Version",
        "description": "The model version to return to. Empty: the one that was champion before.",
    }
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


def _how_read(spec: ModelSpec) -> str:
    settings = spec.data.csv.model_dump(exclude_defaults=True)
    said = ", ".join(
        f"{name} {', '.join(value) if isinstance(value, dict | tuple | list) else repr(value)}" for name, value in settings.items()
    )
    return f" A CSV is read with {said}." if said else " A CSV is read as UTF-8, with commas between fields and points before decimals."


def run_params(spec: AnySpec) -> dict[str, dict[str, Any]]:
    """Name → JSON schema of every parameter a run of ``spec`` takes, with ``default``, ``title``, ``description``, ``section``."""
    params = {name: _own(name, param, "Hyperparameters") for name, param in spec.train.params.items()}
    params |= {name: _own(name, param, "Serving wrapper") for name, param in spec.serve.params.items()}
    params[DATA_SOURCE] = {
        "type": ["null", "string"],
        "default": None,
        "title": "Data source",
        "description": f"A {_FILES[spec.kind]} file for this run: absolute, or in the model's folder. Empty: the spec's own source."
        + ("" if isinstance(spec, LlmSpec) else _how_read(spec)),
        "maxLength": MAX_TEXT,
        "section": "Run",
    }
    if isinstance(spec, LlmSpec):
        params[BASE_MODEL] = {
            "type": ["null", "string"],
            "default": None,
            "title": "Base model",
            "description": "What this run fine-tunes, written as in the spec's `base`. Empty: the spec's own base.",
            "maxLength": 400,
            "section": "Run",
        }
    values = spec.model_dump(mode="json")
    for name, (part, field) in OVERRIDES.items():
        if name == WORKERS and not spec.train.shared:
            continue
        info = _PARTS[part].model_fields[field]
        params[name] = _PLATFORM[name] | {"default": values[part][field], "description": info.description, "section": part.title()}
    return params


def _own(name: str, param: Param, section: str) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": _TYPES[type(param.default)],
        "default": param.default,
        "title": name.replace("_", " ").capitalize(),
        "description": param.description,
        "section": section,
    }
    if param.choices is not None:
        schema["enum"] = list(param.choices)
    whole = schema["type"] == "integer"
    for key, limit in (("minimum", param.minimum), ("maximum", param.maximum)):
        if limit is not None:
            schema[key] = (math.ceil(limit) if key == "minimum" else math.floor(limit)) if whole else limit
    return schema


def check_conf(spec: AnySpec, conf: object) -> list[str]:
    """What is wrong with a triggered run's ``conf``, one sentence a field that names it; empty when the run may start."""
    return check_against(run_params(spec), conf) or (_together(spec, conf) if isinstance(conf, Mapping) else [])


def check_against(schemas: Mapping[str, Mapping[str, Any]], conf: object) -> list[str]:
    """The same for the params that ``schemas`` describe, each by itself."""
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


def apply(spec: S, params: Mapping[str, Any]) -> S:
    """``spec`` with the run's platform parameters put in, validated anew; other parameters are left out. Raises ``InputError``."""
    values = spec.model_dump(mode="json")
    if isinstance(spec, LlmSpec) and params.get(BASE_MODEL):
        values["base"] = params[BASE_MODEL]
    for name, (part, field) in OVERRIDES.items():
        if name in params:
            values[part][field] = params[name]
    try:
        changed = cast(S, type(spec).model_validate_json(json.dumps(values), strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{first['msg']}.", where=_name(first["loc"]), remedy="Correct the run's parameter.") from None
    for at, message, _ in consistency.faults(changed):
        raise InputError(message, where=_name(at), remedy="Correct the run's parameter.")
    return changed


def _together(spec: AnySpec, conf: Mapping[str, Any]) -> list[str]:
    try:
        apply(spec, conf)
    except InputError as error:
        return [str(error)]
    return []


def _name(loc: tuple[str | int, ...]) -> str:
    return next((name for name, field in OVERRIDES.items() if field == loc[:2]), ".".join(map(str, loc)))


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
