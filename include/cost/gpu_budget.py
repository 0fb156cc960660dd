"""Whose budget of GPU-hours is used up, and what new leases are told then. Pure.

A lease that is there goes on: what stops is what would begin. Served revisions are never held back: production goes on whatever it costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from include.cost.gpu_use import REVISION, GpuUse, work_of
from include.cost.month import Month
from include.gateway.budgets import MODEL, TEAM, Budget

Of = tuple[str, str]


def hours_of(found: Iterable[GpuUse], month: Month, now: float) -> dict[Of, float]:
    """Return the GPU-hours of each team and each model in a month, up to now; those of simulated GPUs, which cost nothing, too."""
    hours: dict[Of, float] = {}
    for one in found:
        took, model = one.hours(month.begin, month.end, now), work_of(one.key).model
        for of in ((TEAM, one.team), *([(MODEL, model)] if model else [])):
            hours[of] = hours.get(of, 0.0) + took
    return hours


def used_up(budgets: Iterable[Budget], hours: Mapping[Of, float], month: Month) -> dict[Of, str]:
    """Return why nothing more may begin, by whose budget is used up."""
    begins = f"{datetime.fromtimestamp(month.end, UTC):%Y-%m-%d}"
    return {
        budget.of: (
            f"The budget of {budget.scope} {budget.name} is {budget.gpu_hours:g} GPU-hours a month, and {hours.get(budget.of, 0.0):.1f} "
            f"are used: nothing new begins before {begins} (UTC), unless an administrator raises it."
        )
        for budget in budgets
        if budget.gpu_hours is not None and hours.get(budget.of, 0.0) >= budget.gpu_hours
    }


def why_not(found: Mapping[Of, str], key: str, team: str, *, service: bool) -> str:
    """Say why a request may not begin now, "" if it may; ``service``: the platform's own user asks, for a step or a served revision."""
    if not found or (service and key.startswith(REVISION)):
        return ""
    return found.get((TEAM, team), "") or found.get((MODEL, work_of(key).model), "")
