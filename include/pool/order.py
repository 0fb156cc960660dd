"""Who is next. Priority, raised by waiting; inside a level the team that uses less of its share; then who came first.

A request's rank is its priority plus its waiting over ``ageing_s``, without an upper end; its level is the rank's whole part. Time with
a lease is no waiting, but what was waited before is kept. In the line the waiting of a team that has used more than its share counts from
later (``fair``), never before its priority alone.

Nothing starves. Once a request of priority p has waited (11 - p) x ageing_s and the longest such delay, its rank in line is 11; whoever
comes from then on has at most 10 and gains no faster, so none of them ever stands before it until it starts. Who is stopped has a rank,
without delays, at least one below that of whom it stops for, and a lower priority: it doesn't take the place back. As its waiting is kept,
only those can stop it again who have themselves waited as long as it has, less nine times ageing_s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from include.pool.ask import PRIORITIES
from include.pool.state import Request

Share = Callable[[str], tuple[float, float]]
"""What a team has used of late over its weight (GPU-hours), and what it holds now over it (GPUs)."""


def rank(request: Request, at: float, ageing_s: float) -> float:
    """Priority with what waiting until ``at`` has added to it; of a request that holds a lease, ``at`` is when it was granted."""
    return request.ask.priority + max(0.0, at - request.waiting_since) / ageing_s


def in_order(
    waiting: Iterable[Request], now: float, ageing_s: float, share: Share, delay_s: Callable[[str], float] = lambda team: 0.0
) -> list[Request]:
    """First in line first. The last key is the id, so that the order is one."""

    def place(request: Request) -> tuple[object, ...]:
        team = request.ask.team
        return -int(rank(request, now - delay_s(team), ageing_s)), share(team), request.submitted_at, request.id

    return sorted(waiting, key=place)


def overtaking_s(priority: int, ageing_s: float, fair_delay_s: float = 0.0) -> float:
    """Requests submitted after one of this priority has waited so long never stand before it (seconds)."""
    return (PRIORITIES[-1] + 1 - priority) * ageing_s + fair_delay_s
