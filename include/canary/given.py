"""The latest order that a person gave a trial, as the trial reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.canary.orders import FINAL, Order


@dataclass(frozen=True)
class Given:
    """An order, by whom and why; ``number`` counts the orders of the trial up to it."""

    order: Order
    who: str
    why: str
    at: datetime
    number: int

    @property
    def final(self) -> bool:
        """Whether it ends the trial."""
        return self.order in FINAL

    @property
    def paused(self) -> bool:
        """Whether the trial stands still."""
        return self.order is Order.PAUSE


def latest(rows: Sequence[Mapping[str, Any]]) -> Given | None:
    """Return the last of the orders (rows of ``GET /lifecycle/v1/orders``), which counts; None for a trial without one."""
    if not rows:
        return None
    last = rows[-1]
    return Given(Order(last["order"]), str(last["who"]), str(last["why"]), datetime.fromisoformat(last["at"]), len(rows))


def resumed_since(given: Given | None, last_look: str | None) -> bool:
    """Say whether the trial stood still after its last look (ISO 8601), so that what came meanwhile is not to be judged."""
    if given is None or given.order is not Order.RESUME:
        return False
    return last_look is None or given.at > datetime.fromisoformat(last_look)
