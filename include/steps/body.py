"""Finds the code that does a step."""

from __future__ import annotations

import importlib
from types import ModuleType


def body(step: str) -> ModuleType:
    """Import the module whose ``run(StepContext) -> dict`` does the step, named by the kind of model and its own name (``table.train``); a
    step that a run does several times has its number behind that (``table.trial.7``).

    Raises ValueError for a name without a kind, ModuleNotFoundError for a step that no kind has.
    """
    kind, dot, name = step.partition(".")
    if not (kind and dot and name):
        raise ValueError(f"step {step!r} names no kind of model: kind.step, such as table.train")
    return importlib.import_module(f"include.kinds.{kind}.steps.{name.partition('.')[0]}")
