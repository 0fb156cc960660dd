"""The parameters of one run of a lifecycle: what the trigger form and the REST call may set, checked before anything runs. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from include.errors import InputError
from include.kinds.load import contradictions
from include.kinds.registry import kind_of
from include.kinds.searched import check_first_trial
from include.spec.names import DATA_SOURCE, OVERRIDES, WORKERS
from include.spec.params import MAX_TEXT, check_against
from include.spec.parts import Param
from include.spec.schema import Canary, Gate, OnInconclusive, Spec, Workers

S = TypeVar("S", bound=Spec)
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_PARTS: dict[str, type[Gate] | type[Canary] | type[Workers]] = {"gate": Gate, "canary": Canary, "train": Workers}
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


def run_params(spec: Spec) -> dict[str, dict[str, Any]]:
    """Name → JSON schema of every parameter a run of ``spec`` takes, with ``default``, ``title``, ``description``, ``section``."""
    kind = kind_of(spec)
    params = {name: _own(name, param, "Hyperparameters") for name, param in spec.train.params.items()}
    params |= {name: _own(name, param, "Serving wrapper") for name, param in spec.serve.params.items()}
    params[DATA_SOURCE] = {
        "type": ["null", "string"],
        "default": None,
        "title": "Data source",
        "description": f"A {kind.files} file for this run: in the model's folder, or `data:<file>` in the platform's data folder. "
        "Empty: the spec's own source." + (f" {how}" if (how := kind.read_as(spec)) else ""),
        "maxLength": MAX_TEXT,
        "section": "Run",
    }
    params |= kind.run_params(spec)
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
    if schema["type"] == "string":
        schema["maxLength"] = MAX_TEXT
    if param.choices is not None:
        schema["enum"] = list(param.choices)
    whole = schema["type"] == "integer"
    for key, limit in (("minimum", param.minimum), ("maximum", param.maximum)):
        if limit is not None:
            schema[key] = (math.ceil(limit) if key == "minimum" else math.floor(limit)) if whole else limit
    return schema


def check_conf(spec: Spec, conf: object) -> list[str]:
    """What is wrong with a triggered run's ``conf``, one sentence a field that names it; empty when the run may start."""
    return check_against(run_params(spec), conf) or (_together(spec, conf) if isinstance(conf, Mapping) else [])


def apply(spec: S, params: Mapping[str, Any]) -> S:
    """``spec`` with the run's platform parameters put in, validated anew; other parameters are left out. Raises ``InputError``."""
    values = spec.model_dump(mode="json")
    values = kind_of(spec).overridden(values, params)
    for name, (part, field) in OVERRIDES.items():
        if name in params:
            values[part][field] = params[name]
    try:
        changed = type(spec).model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{first['msg']}.", where=_name(first["loc"]), remedy="Correct the run's parameter.") from None
    for at, message, _ in contradictions(changed):
        raise InputError(message, where=_name(at), remedy="Correct the run's parameter.")
    return changed


def _together(spec: Spec, conf: Mapping[str, Any]) -> list[str]:
    try:
        check_first_trial(apply(spec, conf), conf)
    except InputError as error:
        return [str(error)]
    return []


def _name(loc: tuple[str | int, ...]) -> str:
    return next((name for name, field in OVERRIDES.items() if field == loc[:2]), ".".join(map(str, loc)))
