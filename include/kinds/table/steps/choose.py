"""Step `choose`: what the winner of a search is worth, with the bias of having been chosen taken out. Runtime `trainer`.

Inputs: ``table``, ``trial.<number>`` for each complete trial. Writes ``gain.json``.
"""

from __future__ import annotations

from typing import Any

from include.kinds.rows import chosen
from include.kinds.table.table import split_rows
from include.spec.schema import ModelSpec
from include.steps.context import StepContext


def run(ctx: StepContext) -> dict[str, Any]:
    """What :func:`include.kinds.rows.chosen.run` returns."""
    spec = ctx.spec(ModelSpec)
    return chosen.run(ctx, spec, split_rows(ctx.input("table"), spec)[0])
