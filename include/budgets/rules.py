"""Whether a request may go on within its budgets, and with how many tokens. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from include.cost.month import Month
from include.gateway.budgets import Budget

Of = tuple[str, str]
"""Scope and name."""
SOON_S = 1
"""When to ask again where requests under way will give something back."""


@dataclass(frozen=True)
class Verdict:
    """``granted`` tokens, or why not (``refused``) and after how many seconds to ask again."""

    granted: int = 0
    refused: str = ""
    again_s: int = 0


def decide(
    budgets: Iterable[Budget], spent: Mapping[Of, int], held: Mapping[Of, int], least: int, want: int, month: Month, now: float
) -> Verdict:
    """Grant ``want`` tokens, or as many as every budget has left, if those are ``least`` at least.

    ``spent`` and ``held``: what the month has used up, and what requests under way have reserved, by scope and name.
    """
    granted = want
    for budget in budgets:
        if budget.tokens is None:
            continue
        used, reserved = spent.get(budget.of, 0), held.get(budget.of, 0)
        left = budget.tokens - used - reserved
        if left < least:
            under_way = f", {reserved:,} are reserved by requests under way" if reserved else ""
            begins = f"{datetime.fromtimestamp(month.end, UTC):%Y-%m-%d}"
            sentence = (
                f"The budget of {budget.scope} {budget.name} is {budget.tokens:,} tokens a month: {used:,} are used{under_way}, and this "
                f"request may take up to {least:,}. It begins anew on {begins} (UTC); an administrator may raise it."
            )
            soon = budget.tokens - used >= least
            return Verdict(refused=sentence, again_s=SOON_S if soon else max(1, round(month.end - now)))
        granted = min(granted, left)
    return Verdict(granted=granted)
