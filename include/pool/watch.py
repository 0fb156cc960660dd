"""What time alone brings about: silence, deadlines, and the pool's own absence.

Who is silent has been so only while somebody listened. When the pool itself was away (its servers were down, or their database; the clock
was set forward), nobody could be heard: then everybody has ``return_s`` to come back before silence counts again, and who was told to stop
has the whole of its grace again. Nothing else changes: the line, and what everybody has waited, stay as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.pool import burst
from include.pool.due import next_due, silence_ends, waiting_ttl_s
from include.pool.ledger import Ledger
from include.pool.reports import Reports
from include.pool.schedule import Turn
from include.pool.state import OVERUSED, Request, RequestState

AWAY_S = 5.0
"""Not listening for so long is an absence. A busy server is late by less."""
LATE_S = 2.0
"""Of a pool that never says when it listens: so much later than due is an absence too, if nothing was heard meanwhile."""


class Watch:
    """Ends what has been silent or overdue. ``next`` is never later than the next such time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reports = Reports(ledger)
        self._turns: tuple[Sequence[Turn], Sequence[Request]] = ((), ())
        self._turning_at = math.inf
        self._patient_until = -math.inf
        self._heard_at = -math.inf
        self._listens = False
        self.next: float | None = None

    def reset(self) -> None:
        """Everything was read anew: nothing is known of what is due, and whoever was heard was heard by others too."""
        self.next = -math.inf
        self._turns = ((), ())

    def listening(self, now: float) -> None:
        """The pool's owner is there and hears whoever speaks; it says so every second or so, or the pool takes itself for away."""
        self._listens = True
        self._notice_absence(now)

    def awake(self, now: float) -> None:
        """The pool looks at itself."""
        self._notice_absence(now)

    def heard(self, now: float) -> None:
        """Somebody has spoken."""
        if now >= self._heard_at:
            self._notice_absence(now)

    def sooner(self, at: float) -> None:
        self.next = at if self.next is None else min(self.next, at)

    def due(self, now: float) -> bool:
        return self.next is not None and now >= self.next

    def look(self, now: float) -> None:
        """Nodes, then leases, then requests; what a lost node takes with it needs no second look."""
        self._notice_absence(now)
        if now >= self._patient_until:
            self._nodes(now)
        self._leases(now)
        burst.look(self._ledger, now)
        if now >= self._patient_until:
            self._requests(now)
        if now >= self._turning_at:
            self._ledger.dirty = True
        self._look_ahead(now)

    def passed(self, now: float, turns: Sequence[Turn], stuck: Sequence[Request]) -> None:
        """A scheduling pass has come to this."""
        self._turns = turns, stuck
        self._look_ahead(now)

    def _look_ahead(self, now: float) -> None:
        self.next, self._turning_at = next_due(self._ledger, now, self._patient_until, *self._turns)

    # The pool's own absence

    def _notice_absence(self, now: float) -> None:
        heard, self._heard_at = self._last_heard(), now
        if math.isinf(heard):
            return  # a pool that has never heard of anybody
        if now < heard:
            self._clock_set_back(now)
        elif now - heard > AWAY_S and (self._listens or self._late_s(now) > LATE_S):
            self._patient_until = now + self._ledger.config.return_s
            self._ledger.absent(heard, now)
            for lease in self._ledger.leases.values():
                self._ledger.spare(now, lease, self._patient_until)

    def _clock_set_back(self, now: float) -> None:
        """By a little: nothing happens. By more: all that is known has happened so much earlier, unless another server has seen to it."""
        return_s = self._ledger.config.return_s
        self._patient_until = min(self._patient_until, now + return_s)
        ahead_s = self._last_sign() - now
        if ahead_s > return_s:
            self._ledger.set_back(now, ahead_s)
            self.next = -math.inf

    def _last_heard(self) -> float:
        """By this pool, or by whoever kept what it was restored from."""
        return self._last_sign() if math.isinf(self._heard_at) else self._heard_at

    def _last_sign(self) -> float:
        """Of anybody, as the books know it."""
        ledger = self._ledger
        kept = (
            *(node.reported_at for node in ledger.nodes.values()),
            *(lease.seen_at for lease in ledger.leases.values()),
            *(request.seen_at for request in ledger.requests.values()),
            *(account.at for account in ledger.accounts.of.values()),
        )
        return max(kept, default=-math.inf)

    def _late_s(self, now: float) -> float:
        """How much later than it should have looked."""
        due = min(silence_ends(self._ledger), default=math.inf)
        return now - max(due, self._patient_until)

    # Silence

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
                again = lease.notice.kind != OVERUSED
                ledger.end_lease(now, lease, lease.notice.kind, f"its grace is over. {lease.notice.reason}", requeue=again)

    def _requests(self, now: float) -> None:
        ledger = self._ledger
        for request in [one for one in ledger.requests.values() if one.state is RequestState.WAITING]:
            if now >= request.seen_at + waiting_ttl_s(ledger.config, request):
                ledger.end_request(now, request, "expired")
                ledger.event(now, "ended", f"{request.key} waits no longer: nobody asked after it.", request=request)
