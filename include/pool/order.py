"""Who is next. Priority, raised by waiting; inside a priority the team that uses less of its share; then who came first.

Nothing starves: a request's level is its priority plus one for every ``ageing_s`` that it has waited, without an upper end. Take a
request of priority p, and another of priority q, at most 10, submitted at least (11 - p) x ageing_s later. At any time the first has
waited that much longer, so its level is at least p + (11 - p) + floor(the other's wait / ageing_s) = 11 + ..., the other's at most 10 +
the same. So only requests submitted less than (11 - p) x ageing_s after it can ever stand before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from include.pool.ask import PRIORITIES
from include.pool.state import Request

Share = Callable[[str], float]
"""A team's use over its weight, GPUs."""


def level(request: Request, now: float, ageing_s: float) -> int:
    """Priority with what waiting has added to it."""
    return request.ask.priority + int(max(0.0, now - request.submitted_at) // ageing_s)


def in_order(waiting: Iterable[Request], now: float, ageing_s: float, share: Share) -> list[Request]:
    """First in line first. The last key is the id, so that the order is one."""
    return sorted(waiting, key=lambda request: (-level(request, now, ageing_s), share(request.ask.team), request.submitted_at, request.id))


def overtaking_s(priority: int, ageing_s: float) -> float:
    """Requests submitted at least so long after one of this priority never stand before it (seconds)."""
    return (PRIORITIES[-1] + 1 - priority) * ageing_s
