"""Letting a revision finish what it has begun, once it gets nothing new."""

from __future__ import annotations

import time
from dataclasses import dataclass

from include.gateway.admin import Admin

QUIET_S = 0.1
"""The gateway's threads take a new split within a millisecond of each other; this long without a new request proves it."""
POLL_S = 0.01


@dataclass(frozen=True)
class Drained:
    """``idle``: nothing was in flight any more. ``waited_s`` until then; ``active`` requests were left when time ran out."""

    idle: bool
    waited_s: float
    active: int


def drain(admin: Admin, cluster: str, timeout_s: float) -> Drained:
    """Wait until no request is in this cluster and none begins, at most ``timeout_s`` seconds. Its weight must be 0 already."""
    started = quiet_since = time.monotonic()
    total = -1
    while True:
        now = time.monotonic()
        active, seen = admin.active_requests(cluster), admin.total_requests(cluster)
        if active or seen != total:
            total, quiet_since = seen, now
        if not active and now - quiet_since >= min(QUIET_S, timeout_s):
            return Drained(True, quiet_since - started, 0)
        if now - started > timeout_s + QUIET_S:
            return Drained(False, now - started, active)
        time.sleep(POLL_S)
