"""When a trial may begin, and when it is left out. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from include.search.plan import Plan, SearchState, Trial

LEAST_WAIT_S = 2.0
MOST_WAIT_S = 600.0
PATIENCE = 0.2
"""Of the time that the trial that is waited for has run already: so a long one is asked for seldom, and little is lost at its end."""


class Turn(StrEnum):
    """What a trial that has not begun does now."""

    BEGIN = "BEGIN"
    WAIT = "WAIT"
    LEFT_OUT = "LEFT_OUT"


def turn(plan: Plan, trials: Sequence[Trial], number: int, *, time_is_over: bool) -> Turn:
    """Return what trial ``number`` does, given those that have begun."""
    if time_is_over or any(trial.state is SearchState.LEFT_OUT for trial in trials):
        return Turn.LEFT_OUT
    return Turn.BEGIN if not awaited(plan, trials, number) else Turn.WAIT


def awaited(plan: Plan, trials: Sequence[Trial], number: int) -> list[int]:
    """Return the numbers of the trials that must end before trial ``number`` begins, and have not."""
    ended = {trial.number for trial in trials if trial.state is not SearchState.RUNNING}
    return [other for other in range(plan.known_at(number)) if other not in ended]


def wait_s(plan: Plan, trials: Sequence[Trial], number: int, ages_s: Mapping[int, float]) -> float:
    """Return after how long it is worth looking again; ``ages_s`` says how long each running trial has been going."""
    before = awaited(plan, trials, number)
    spent = [trial.seconds for trial in trials if trial.state is SearchState.COMPLETE]
    usual = sum(spent) / len(spent) if spent else 0.0
    age = max((ages_s.get(other, 0.0) for other in before), default=0.0)
    behind = (len(before) - 1) * usual / plan.parallel
    return min(max(LEAST_WAIT_S, PATIENCE * age + behind), MOST_WAIT_S)
