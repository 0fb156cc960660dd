"""Finds the code that does a step."""

from __future__ import annotations

import importlib
from types import ModuleType

KIND = "table"
"""Whose steps are asked for by their bare names; another kind's come after its own name and a dot (``llm.train``)."""


def body(step: str) -> ModuleType:
    """Import the module whose ``run(StepContext) -> dict`` does the step. ModuleNotFoundError for a step that no kind has."""
    kind, _, name = step.rpartition(".")
    return importlib.import_module(f"include.kinds.{kind or KIND}.steps.{name}")
