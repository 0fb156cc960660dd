"""The least number of servers by the time of day. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from include.replicas.number import Bounds
from include.spec.parts import Replicas


def least_by(schedule: Mapping[str, int], usual: int, now: datetime) -> int:
    """Return the least number of servers at ``now`` (UTC): that of the cron expression whose time came last, ``usual`` without any."""
    from croniter import croniter

    came = [(croniter(expression, now).get_prev(datetime), least) for expression, least in schedule.items()]
    return max(came)[1] if came else usual


def bounds_of(replicas: Replicas, now: datetime) -> Bounds:
    """Return how many servers a spec allows at ``now`` (UTC)."""
    return Bounds(least_by(replicas.schedule, replicas.min, now), replicas.max)
