"""Which trials are given up before their end: asynchronous successive halving (ASHA; Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020) over the trials whose end is known. Pure.

A trial's bars are known when it begins, so it needs to ask nobody while it runs, and gives up at the same step in every try.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from include.search.plan import Plan, SearchState, Trial


def rungs(plan: Plan, last: int) -> list[int]:
    """Return the steps (from 1) after which a trial of ``last`` steps may be given up: none after its last, which ends it anyway."""
    found, step = [], 1
    while plan.reduction and step < last:
        found.append(step)
        step *= plan.reduction
    return found


def bars(plan: Plan, known: Sequence[Trial]) -> dict[int, float]:
    """Return the value by step that a new trial must reach to go on, given trials that may be ``known`` to it.

    At a rung the best ``1 / reduction`` of all that reached it go on, the new one counted among them.
    """
    ended = [trial for trial in known if trial.state in (SearchState.COMPLETE, SearchState.PRUNED)]
    last = max((step for trial in ended for step in trial.steps), default=0)
    found = {}
    for rung in rungs(plan, last):
        values = sorted((trial.steps[rung] for trial in ended if rung in trial.steps), reverse=plan.maximize)
        if len(values) >= plan.warm_up:
            found[rung] = values[max((len(values) + 1) // plan.reduction, 1) - 1]
    return found


def gives_up(step: int, value: float, bars: Mapping[int, float], *, maximize: bool) -> bool:
    """Say whether a trial with this ``value`` at a ``step`` is given up; one whose value is no number is, at any rung."""
    if step not in bars:
        return False
    return math.isnan(value) or (value < bars[step] if maximize else value > bars[step])
