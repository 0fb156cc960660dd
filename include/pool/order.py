"""Who is next. Priority, raised by waiting; inside a level the team that uses less of its share; then who came first.

A request's rank is its priority plus its waiting over ``ageing_s``, without an upper end; its level is the rank's whole part. Time with
a lease is no waiting, but what was waited before is kept.

Nothing starves. Once a request of priority p has waited (11 - p) x ageing_s, its rank is 11; whoever comes from then on has at most 10
and gains no faster, so none of them ever stands before it until it starts. Who is stopped has a rank at least one below that of whom it
stops for: it stands behind it when both wait, and doesn't take the place back. As its waiting is kept, only those can stop it again who
have themselves waited as long as it has, less nine times ageing_s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from include.pool.ask import PRIORITIES
from include.pool.state import Request

Share = Callable[[str], float]
"""A team's use over its weight, GPUs."""


def rank(request: Request, at: float, ageing_s: float) -> float:
    """Priority with what waiting until ``at`` has added to it; of a request that holds a lease, ``at`` is when it was granted."""
    return request.ask.priority + max(0.0, at - request.waiting_since) / ageing_s


def in_order(waiting: Iterable[Request], now: float, ageing_s: float, share: Share) -> list[Request]:
    """First in line first. The last key is the id, so that the order is one."""
    return sorted(
        waiting,
        key=lambda request: (-int(rank(request, now, ageing_s)), share(request.ask.team), request.submitted_at, request.id),
    )


def overtaking_s(priority: int, ageing_s: float) -> float:
    """Requests submitted after one of this priority has waited so long never stand before it (seconds)."""
    return (PRIORITIES[-1] + 1 - priority) * ageing_s
