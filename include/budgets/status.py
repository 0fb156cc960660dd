"""How far each budget is used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from include.budgets.rules import Of
from include.gateway.budgets import Budget


class Level(StrEnum):
    FINE = "fine"
    WARNED = "warned"
    USED_UP = "used up"


@dataclass(frozen=True)
class Status:
    """A budget with what the month has used of it; ``reserved``: tokens of requests under way."""

    budget: Budget
    tokens_used: int
    tokens_reserved: int
    gpu_hours_used: float

    @property
    def share(self) -> float:
        """How much of it is used, of tokens or GPU-hours whichever is more; a budget of nothing is used up."""
        pairs = ((self.budget.tokens, self.tokens_used), (self.budget.gpu_hours, self.gpu_hours_used))
        return max((used / most if most else 1.0 for most, used in pairs if most is not None), default=0.0)

    @property
    def level(self) -> Level:
        if self.share >= 1:
            return Level.USED_UP
        return Level.WARNED if self.share >= self.budget.warn else Level.FINE

    def said(self) -> str:
        """Say how far it is used, in a sentence for people."""
        parts = []
        if self.budget.tokens is not None:
            parts.append(f"{self.tokens_used:,} of {self.budget.tokens:,} tokens")
        if self.budget.gpu_hours is not None:
            parts.append(f"{self.gpu_hours_used:.1f} of {self.budget.gpu_hours:g} GPU-hours")
        return f"{self.budget.scope} {self.budget.name} has used {' and '.join(parts)} of this month."


def statuses(budgets: Iterable[Budget], spent: Mapping[Of, int], held: Mapping[Of, int], gpu_hours: Mapping[Of, float]) -> list[Status]:
    """Return how far each budget is used, those that are used most first."""
    found = [Status(one, spent.get(one.of, 0), held.get(one.of, 0), gpu_hours.get(one.of, 0.0)) for one in budgets]
    return sorted(found, key=lambda one: (-one.share, one.budget.of))
