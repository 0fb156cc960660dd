"""Two versions of a model side by side: scores, slices, parameters, data, spec and code. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_LINES = 2000
"""Of a difference that are given; a longer one is cut, and says so."""
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """What is kept of a version. ``evaluation`` and ``profile`` are those of the gate's and the data's evidence; ``params``, ``data`` (the
    snapshot's MD5) and ``code`` (text by path) are MLflow's: None while it does not answer, empty for what was not kept."""

    version: int
    evaluation: Json
    profile: Json
    spec: Json
    params: Mapping[str, str] | None
    data: str | None
    code: Mapping[str, str] | None


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Return the table of both: each row names what is compared, and holds both values (None: not there)."""
    return {
        "a": a.version,
        "b": b.version,
        "metric": b.evaluation.get("metric") or a.evaluation.get("metric") or "",
        "scores": _scores(a, b),
        "slices": _slices(a, b),
        "params": None if a.params is None or b.params is None else _pairs(a.params, b.params),
        "data": {
            "rows": [a.profile.get("rows"), b.profile.get("rows")],
            "columns": [a.profile.get("column_count"), b.profile.get("column_count")],
            "md5": None if a.data is None or b.data is None else [a.data, b.data],
        },
        "spec": diff({"model.yaml": _text(a.spec)}, {"model.yaml": _text(b.spec)}, a.version, b.version),
        "code": None if not a.code or not b.code else diff(a.code, b.code, a.version, b.version),
    }


def diff(a: Mapping[str, str], b: Mapping[str, str], of_a: int, of_b: int) -> list[str]:
    """Return the unified difference of two sets of files, line by line; empty where they are the same."""
    lines: list[str] = []
    for path in sorted({*a, *b}):
        before, after = a.get(path, "").splitlines(), b.get(path, "").splitlines()
        lines += difflib.unified_diff(before, after, f"v{of_a}/{path}", f"v{of_b}/{path}", lineterm="")
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES} lines more"]


def _scores(a: Side, b: Side) -> list[dict[str, Any]]:
    left, right = (side.evaluation.get("scores") or {} for side in (a, b))
    return [{"name": name, "a": _score(left.get(name)), "b": _score(right.get(name))} for name in _names(left, right)]


def _slices(a: Side, b: Side) -> list[dict[str, Any]]:
    left, right = ({f"{row['column']} = {row['value']}": row["score"] for row in side.evaluation.get("slices") or ()} for side in (a, b))
    return [{"name": name, "a": _score(left.get(name)), "b": _score(right.get(name))} for name in _names(left, right)]


def _score(found: Json | None) -> list[float | None] | None:
    return None if found is None else [found.get("value"), found.get("low"), found.get("high")]


def _pairs(a: Mapping[str, str], b: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "a": a.get(name), "b": b.get(name)} for name in _names(a, b)]


def _names(a: Iterable[str], b: Iterable[str]) -> list[str]:
    """In the order of the first, then what only the second has."""
    return list(dict.fromkeys([*a, *b]))


def _text(spec: Json) -> str:
    """One field a line, so that a difference shows fields."""
    return json.dumps(spec, indent=1, ensure_ascii=False, sort_keys=True) if spec else ""
