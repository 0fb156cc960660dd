"""What time alone brings about: silence and deadlines."""

from __future__ import annotations

import math
from collections.abc import Iterator

from include.pool.ledger import Ledger
from include.pool.reports import Reports
from include.pool.state import LeaseState, RequestState

LOOKS = 60
"""Ageing changes the order of the queue: it is looked at anew at most so often while a request rises by one level."""


class Watch:
    """Ends what has been silent or overdue. ``next`` is never later than the next such time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reports = Reports(ledger)
        self._aged_at = math.inf
        self.next: float | None = None

    def reset(self) -> None:
        """Nothing is known of what is due: look at once."""
        self.next = -math.inf

    def sooner(self, at: float) -> None:
        self.next = at if self.next is None else min(self.next, at)

    def due(self, now: float) -> bool:
        return self.next is not None and now >= self.next

    def look(self, now: float) -> None:
        """Nodes, then leases, then requests; what a lost node takes with it needs no second look."""
        self._nodes(now)
        self._leases(now)
        for request in [one for one in self._ledger.requests.values() if one.state is RequestState.WAITING]:
            if now >= request.seen_at + self._waiting_ttl(request.ask.ttl_s):
                self._ledger.end_request(now, request, "expired")
                self._ledger.event(now, "ended", f"{request.key} waits no longer: nobody asked after it.", request=request)
        if now >= self._aged_at:
            self._ledger.dirty = True
        self.look_ahead(now)

    def look_ahead(self, now: float) -> None:
        self._aged_at = self._next_level(now)
        self.next = min((*self._dues(), self._aged_at), default=None)
        if self.next == math.inf:
            self.next = None

    def _nodes(self, now: float) -> None:
        config = self._ledger.config
        for node in list(self._ledger.nodes.values()):
            silence = now - node.reported_at
            if silence >= config.node_silent_s and not node.lost:
                self._reports.silent(now, node, f"nothing was heard of it for {config.node_silent_s:g} s")
            if node.lost and silence >= config.node_grace_s:
                self._reports.lose_leases(now, node, f"{node.name} has been silent for {config.node_grace_s:g} s.")

    def _leases(self, now: float) -> None:
        ledger = self._ledger
        for lease in list(ledger.leases.values()):
            if now >= lease.expires_at:
                ledger.end_lease(now, lease, "expired", "its holder fell silent.", requeue=False)
            elif lease.notice is not None and now >= lease.notice.deadline:
                ledger.end_lease(now, lease, lease.notice.kind, f"its grace is over. {lease.notice.reason}", requeue=True)
            elif lease.ends_by is not None and lease.state is LeaseState.ACTIVE and now >= lease.ends_by - self._grace(lease.request_id):
                ledger.notice(
                    now, lease, "overdue", "it was let in before its turn until now, and whoever is first in line needs the place."
                )

    def _dues(self) -> Iterator[float]:
        ledger = self._ledger
        for node in ledger.nodes.values():
            if not node.lost:
                yield node.reported_at + ledger.config.node_silent_s
        lost = {node.name: node for node in ledger.nodes.values() if node.lost}
        for lease in ledger.leases.values():
            yield from (lost[grant.node].reported_at + ledger.config.node_grace_s for grant in lease.grants if grant.node in lost)
        for lease in ledger.leases.values():
            yield lease.expires_at
            if lease.notice is not None:
                yield lease.notice.deadline
            elif lease.ends_by is not None:
                yield lease.ends_by - self._grace(lease.request_id)
        for request in ledger.requests.values():
            if request.state is RequestState.WAITING:
                yield request.seen_at + self._waiting_ttl(request.ask.ttl_s)

    def _next_level(self, now: float) -> float:
        """When some request rises by a level; it matters only among several."""
        waiting = [one.waiting_since for one in self._ledger.requests.values() if one.state is RequestState.WAITING]
        if len(waiting) < 2:
            return math.inf
        step = self._ledger.config.ageing_s
        return max(now + step / LOOKS, min(at + (math.floor(max(0.0, now - at) / step) + 1) * step for at in waiting))

    def _grace(self, request_id: str) -> float:
        grace = self._ledger.requests[request_id].ask.grace_s
        return self._ledger.config.notice_s if grace is None else grace

    def _waiting_ttl(self, ttl_s: float | None) -> float:
        return max(ttl_s or 0.0, self._ledger.config.waiting_ttl_s)
