"""How a version is served: the spec's serve part and the wrapper's parameters, kept beside what is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include import atomic
from include.backends.backend import AnyServe
from include.errors import InputError
from include.spec.llm import LlmServe
from include.spec.schema import Serve

FILE = "serve.json"


def save(folder: Path, serve: AnyServe, params: Mapping[str, Any]) -> None:
    atomic.write(folder / FILE, json.dumps({"serve": serve.model_dump(mode="json"), "params": dict(params)}, indent=1))


def read(folder: Path) -> tuple[AnyServe, dict[str, Any]]:
    """As they were when the version was registered, or its revision started. InputError when they are not there."""
    try:
        data = json.loads((folder / FILE).read_text())
    except OSError:
        raise InputError("is missing.", where=str(folder / FILE), remedy="Deploy the version again.") from None
    kind = Serve if data["serve"].get("backend", "triton") == "triton" else LlmServe
    return kind.model_validate_json(json.dumps(data["serve"])), dict(data["params"])
