"""What teams may use: a limit that is never passed, a guarantee that is there when asked for. All in thousandths of GPUs inside.

Without any quota there are no limits. With some, a team that has none is guaranteed nothing and may use what others leave. Work that
can't be preempted never takes what is guaranteed to others, or the guarantee could not be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from include.pool.ask import Ask
from include.pool.state import Quota


class Use:
    """How much each team holds now. ``firm`` is the part that can't be preempted."""

    def __init__(self) -> None:
        self.all: Counter[str] = Counter()
        self.firm: Counter[str] = Counter()

    def add(self, ask: Ask, milli: int) -> None:
        """A lease began, or with a negative ``milli`` ended."""
        self.all[ask.team] += milli
        if not ask.preemptible:
            self.firm[ask.team] += milli


def guaranteed(quotas: Mapping[str, Quota], team: str) -> int:
    quota = quotas.get(team)
    return round(quota.guaranteed * 1000) if quota else 0


def weight(quotas: Mapping[str, Quota], team: str) -> float:
    """What divides what is contended; 1 of a team without a quota."""
    quota = quotas.get(team)
    return quota.weight if quota else 1.0


def over_limit(quotas: Mapping[str, Quota], use: Use, ask: Ask, milli: int) -> str:
    """Why its own team's limit holds the ask back, "" if it doesn't."""
    quota = quotas.get(ask.team)
    if quota is None or quota.limit is None or use.all[ask.team] + milli <= round(quota.limit * 1000):
        return ""
    used = use.all[ask.team] / 1000
    return f"Team {ask.team} is at its limit: it holds {used:g} of {quota.limit:g} GPUs and this asks for {milli / 1000:g} more."


def takes_guaranteed(quotas: Mapping[str, Quota], use: Use, ask: Ask, milli: int, capacity: int) -> str:
    """Why an ask that can't be preempted must wait although there is room, "" if it needn't."""
    if ask.preemptible or not quotas or use.firm[ask.team] + milli <= guaranteed(quotas, ask.team):
        return ""
    teams = {*quotas, *use.firm, ask.team}
    needed = sum(max(guaranteed(quotas, team), use.firm[team] + (milli if team == ask.team else 0)) for team in teams)
    if needed <= capacity:
        return ""
    promised = promised_to_others(quotas, ask.team) / 1000
    return (
        f"It is not preemptible and would take what is guaranteed to others ({promised:g} of {capacity / 1000:g} GPUs): "
        "let it be preempted, or wait until its own team uses less."
    )


def promised_to_others(quotas: Mapping[str, Quota], team: str) -> int:
    return sum(guaranteed(quotas, other) for other in quotas if other != team)


def may_reclaim(quotas: Mapping[str, Quota], use: Use, ask: Ask, milli: int) -> bool:
    """Whether the team stays within its guarantee with this, so that others must give back what they borrowed."""
    return bool(quotas) and use.all[ask.team] + milli <= guaranteed(quotas, ask.team)


def borrowed(quotas: Mapping[str, Quota], use: Use, team: str) -> int:
    """What the team holds beyond its guarantee."""
    return max(0, use.all[team] - guaranteed(quotas, team))
