"""What the stories of `kind: tensor` share: rows of an example's own data as requests, and what an answer must be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from include.runtime.settings import Settings
from include.serving.traffic import Check
from include.steps.user_code import importable, load_entry

MOST_ROWS = 400
"""Rows that the client sends in turn."""


def rows(settings: Settings, model: str, column: str, target: str) -> tuple[list[Any], list[str]]:
    """Return values of ``column`` in the example's own data, and the classes that there are."""
    folder = settings.repo / "include" / "models" / model
    with importable(folder):
        table = load_entry(folder, "data:load")()
    return list(table[column][:MOST_ROWS]), sorted(set(table[target]))


def request(column: str, value: str) -> list[dict[str, Any]]:
    """Return the inputs of one KServe v2 request that asks about one text, or a picture in Base64."""
    return [{"name": column, "datatype": "BYTES", "shape": [1, 1], "data": [value]}]


def names_one_of(classes: Collection[str]) -> Check:
    """Return a check that finds fault with an answer unless it names one of the classes, with probabilities that add up to 1."""

    def check(answer: Mapping[str, Any]) -> str | None:
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        label = outputs.get("label", ())
        if len(label) != 1 or label[0] not in classes:
            return f"no class in {label!r}"
        total = sum(outputs.get("probabilities", ()))
        return None if abs(total - 1) < 0.01 else f"probabilities add up to {total}"

    return check
