"""How a version is served: the spec's part ``serve`` and the run's parameters of it, kept beside what is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include import atomic
from include.backends.registry import backend, serve_of
from include.errors import InputError
from include.spec.serve import Serve

FILE = "serve.json"


def save(folder: Path, serve: Serve, params: Mapping[str, Any]) -> None:
    atomic.write(folder / FILE, json.dumps({"kind": serve.kind, "serve": serve.model_dump(mode="json"), "params": dict(params)}, indent=1))


def read(folder: Path) -> tuple[Serve, dict[str, Any]]:
    """As they were when the version was registered, or its revision started. InputError when they are not there."""
    try:
        data = json.loads((folder / FILE).read_text())
    except OSError:
        raise InputError("is missing.", where=str(folder / FILE), remedy="Deploy the version again.") from None
    return _serve(data), dict(data["params"])


def _serve(data: Mapping[str, Any]) -> Serve:
    """Fields that belonged to every backend once, and are another's now, are left out when they say nothing."""
    given = dict(data["serve"])
    known = backend(given["backend"]).serves
    part = serve_of(data["kind"], given["backend"]) if "kind" in data else known[0]
    strange = [name for name in given if name not in part.model_fields and not given[name]]
    return part.model_validate_json(json.dumps({name: value for name, value in given.items() if name not in strange}))
