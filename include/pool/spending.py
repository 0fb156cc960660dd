"""What nodes that are taken by the hour cost: money in the last 24 hours, and what is promised already. Pure.

A node costs from the moment it is asked for until it is seen to be off: a machine whose agent has fallen silent may run on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from include.pool.state import Burst

DAY_S = 86_400.0
HOUR_S = 3_600.0


def cost(burst: Burst, seconds: float) -> float:
    """Return what so many seconds of the node cost."""
    return burst.offer.price_per_hour * max(0.0, seconds) / HOUR_S


def spent(bursts: Iterable[Burst], now: float) -> float:
    """Return what these nodes have cost in the 24 hours before ``now``."""
    return sum(cost(one, sum(_within(now, *period) for period in (*one.paid, *_running(one, now)))) for one in bursts)


def rate(bursts: Iterable[Burst]) -> float:
    """Return what they cost a second now."""
    return sum(cost(one, 1.0) for one in bursts if one.paid_since is not None)


def closed(burst: Burst, now: float) -> tuple[tuple[float, float], ...]:
    """Return the periods for which the node was paid, with the one that ends now; those of more than a day ago are left out."""
    return tuple(period for period in (*burst.paid, *_running(burst, now)) if period[1] > now - DAY_S)


def counts_until(burst: Burst) -> float:
    """Return when what the node has cost counts no longer, if it costs nothing more."""
    return max((ended for _, ended in burst.paid), default=0.0) + DAY_S


def _running(burst: Burst, now: float) -> tuple[tuple[float, float], ...]:
    return () if burst.paid_since is None else ((burst.paid_since, now),)


def _within(now: float, begun: float, ended: float) -> float:
    return max(0.0, min(ended, now) - max(begun, now - DAY_S))


def set_back(burst: Burst, seconds: float) -> Burst:
    """Return the node as it is once the clock was set back by so much: all that is known of it happened so much earlier."""

    def earlier(at: float | None) -> float | None:
        return None if at is None else at - seconds

    paid = tuple((begun - seconds, ended - seconds) for begun, ended in burst.paid)
    return replace(
        burst,
        wanted_at=burst.wanted_at - seconds,
        paid_since=earlier(burst.paid_since),
        idle_since=earlier(burst.idle_since),
        paused_until=burst.paused_until - seconds,
        paid=paid,
    )
