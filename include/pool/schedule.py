"""One pass over the queue: who gets what now, what is kept for whoever is first, who has to stop, and why the others wait.

First in line is the first request, in order, that its own team's quota doesn't hold back and that some place in service could ever
take. What has room starts. For the first that has none a reservation is made: the devices that will be free together first, by the
expected ends of leases. Those behind it start only where they can't delay it (backfill): on devices outside the reservation; or inside
it if they are preemptible, say how long they take, and with their grace are gone before it begins. Then the lease carries that time
(``ends_by``), and a notice goes out one grace before it. With true durations nobody therefore starts later than his first reservation,
whatever is backfilled: those devices are free by then, and a reservation made anew is never later than the one that is still there.

Teams within their guarantee come before all who borrow. The first in line may have others stop (see ``victims``): preemptible leases of
strictly lower declared priority that will stand behind it (a rank lower by one), and, if it stays within its team's guarantee, those of
teams that have borrowed. A team is never brought below its own guarantee for another. Nobody is stopped for a place that is expected to
be free before a notice would have run out.
"""

from __future__ import annotations

from functools import cached_property

from include.pool import quota
from include.pool.ask import Ask
from include.pool.ledger import Ledger
from include.pool.order import in_order, rank
from include.pool.possible import smallest_milli
from include.pool.ready import Ready, Reservation
from include.pool.reasons import behind, no_room
from include.pool.space import quota_milli
from include.pool.state import Grant, Lease, LeaseState, Request, RequestState
from include.pool.victims import Candidate, Plan, Search

EXPLAINED = 25
"""So many of the queue's first are told in full why they wait and when they may start; on fleets over ``LARGE`` only the first."""
LARGE = 500


class Pass:
    """One look at everything. ``head`` and ``reservation`` are what it found, for estimates and what-if."""

    def __init__(self, ledger: Ledger, ready: Ready) -> None:
        self.ledger, self.ready = ledger, ready
        self.head: Request | None = None
        self.reservation: Reservation | None = None
        self.booked: dict[tuple[str, str], float] = {}
        self._failed: set[object] = set()
        self._smallest: dict[object, int] = {}
        self._before = 0
        self.explained = EXPLAINED if len(ledger.space.capacity) <= LARGE else 1

    def run(self, now: float) -> None:
        """Start what may start, give notices, explain the rest."""
        for request in self._with_claims(self.line(now)):
            held = self.held(request)
            if held:
                self.ledger.waits(request, (held,))
            elif self.head is None:
                self._first(now, request)
            elif not self._backfill(now, request):
                self._waits_behind(now, request)
            if request.state is RequestState.WAITING:
                self._before += 1
        self.ledger.dirty = False
        self.ledger.owed.clear()

    def _with_claims(self, line: list[Request]) -> list[Request]:
        """Before all others come those for whom leases stop or have just stopped: or who was stopped, and stood before them in line,
        would take back what it gave, and be stopped again for ever."""
        claims = self.ledger.owed | self.ledger.clearing.keys()
        return sorted(line, key=lambda request: request.id not in claims) if claims else line

    def line(self, now: float) -> list[Request]:
        """Who waits, first in line first."""
        ledger = self.ledger
        waiting = [request for request in ledger.requests.values() if request.state is RequestState.WAITING]
        return self._sorted(now, waiting)

    def line_with(self, now: float, asked: Request) -> list[Request]:
        """The line if this one stood in it too."""
        return self._sorted(now, [*self.line(now), asked])

    def _sorted(self, now: float, waiting: list[Request]) -> list[Request]:
        ledger = self.ledger
        line = in_order(waiting, now, ledger.config.ageing_s, lambda team: quota.share(ledger.quotas, ledger.use, team))
        if ledger.quotas:
            line.sort(key=lambda request: not self.within_guarantee(request))
        return line

    def within_guarantee(self, request: Request) -> bool:
        return quota.may_reclaim(self.ledger.quotas, self.ledger.use, request.ask, self._least(request.ask))

    def _least(self, ask: Ask) -> int:
        if ask.shape not in self._smallest:
            self._smallest[ask.shape] = smallest_milli(ask, self.ledger.space)
        return self._smallest[ask.shape]

    def held(self, request: Request, milli: int | None = None) -> str:
        """Why the quota of its own team, or what others are guaranteed, keeps it from starting."""
        ledger = self.ledger
        if not ledger.quotas:
            return ""
        wanted = self._least(request.ask) if milli is None else milli
        return quota.over_limit(ledger.quotas, ledger.use, request.ask, wanted) or quota.takes_guaranteed(
            ledger.quotas, ledger.use, request.ask, wanted, self._capacity
        )

    @cached_property
    def _capacity(self) -> int:
        return self.ledger.space.capacity_milli()

    def _first(self, now: float, request: Request) -> None:
        if self._start(now, request, self.ledger.space.find(request.ask)):
            return
        self.reservation = self.ready.earliest(request.ask)
        if self.reservation is None:
            self.ledger.waits(request, no_room(request.ask, self.ledger.space))
            return
        self.head = request
        told = self._make_room(now, request)
        self._reserve(request, now)
        at = self.reservation.at
        self.ledger.waits(request, (*no_room(request.ask, self.ledger.space), *told), at if at > now else None)

    def _start(self, now: float, request: Request, grants: tuple[Grant, ...] | None, ends_by: float | None = None) -> bool:
        if grants is None:
            return False
        held = self.held(request, quota_milli(grants))
        if held:  # it counts more on this device than it would at best
            return False
        self.ledger.grant(now, request, grants, ends_by)
        return True

    def _backfill(self, now: float, request: Request) -> bool:
        """Start it where the first in line is not delayed."""
        assert self.reservation is not None
        ask, space = request.ask, self.ledger.space
        if ask.shape not in self._failed:
            grants = space.find(ask, self.reservation.spots)
            if grants is not None:
                return self._start(now, request, grants)
            self._failed.add(ask.shape)
        brief = ask.preemptible and ask.duration_s is not None and now + ask.duration_s + self._grace(request) <= self.reservation.at
        if not brief or ("brief", ask.shape) in self._failed:
            return False
        grants = space.find(ask)
        if grants is None:
            self._failed.add(("brief", ask.shape))
            return False
        return self._start(now, request, grants, self.reservation.at)

    def _waits_behind(self, now: float, request: Request) -> None:
        if self._before >= self.explained:
            self.ledger.waits(request, behind(self._before))
            return
        reservation = self.ready.earliest(request.ask, self.booked)
        if reservation is not None:
            self._reserve(request, now, reservation)
        at = reservation.at if reservation and reservation.at > now else None
        self.ledger.waits(request, (*behind(self._before), *no_room(request.ask, self.ledger.space)), at)

    def _reserve(self, request: Request, now: float, reservation: Reservation | None = None) -> None:
        """For the estimates of those behind it: these devices are taken until it will have ended."""
        reservation = reservation or self.reservation
        if reservation is not None and self.explained > 1:
            until = max(reservation.at, now) + (request.ask.duration_s or self.ledger.config.default_duration_s)
            self.booked |= {spot: max(until, self.booked.get(spot, 0.0)) for spot in reservation.spots}

    # Making others stop

    def _make_room(self, now: float, head: Request) -> tuple[str, ...]:
        """Give notices if that is how the first in line gets its place; what to say of it. The place that is being cleared is then what it
        has reserved: where leases have overrun, another might look nearer, and those behind it would be let in where it is to start."""
        told = self.ledger.clearing.get(head.id)
        plan = self.search(now, head).cheapest(head.ask)
        if told:
            cleared = plan is not None and not plan.victims
        else:
            told = self._tell(now, head, plan) if plan is not None else set()
            cleared = bool(told)
        if cleared and plan is not None:
            ends = [self.ready.ends(lease) for spot in plan.spots for lease in self.ledger.space.leased.get(spot, ()) if self._stops(lease)]
            self.reservation = Reservation(max(ends, default=now), plan.spots)
        return (f"{_counted(len(told))} told to stop for it.",) if told else ()

    def _stops(self, lease: str) -> bool:
        return self.ledger.leases[lease].state is LeaseState.NOTICED

    def _tell(self, now: float, head: Request, plan: Plan) -> set[str]:
        """Who has been given notice: nobody if the place that it has reserved is expected free before the last of them had to be gone."""
        assert self.reservation is not None
        victims = [self.ledger.leases[victim] for victim in plan.victims]
        if not victims or now <= self.reservation.at <= now + max(self._grace(self._asker(lease)) for lease in victims):
            return set()
        for lease in victims:
            kind = "preempted" if self._outranks(now, head, lease) else "reclaimed"
            why = (
                f"{head.key} has priority {head.ask.priority}."
                if kind == "preempted"
                else f"team {head.ask.team} asks for what it is guaranteed."
            )
            self.ledger.notice(now, lease, kind, why, head.id)
        return set(plan.victims)

    def search(self, now: float, head: Request) -> Search:
        """Who may be told to stop for this request."""
        ledger = self.ledger
        reclaims = self.within_guarantee(head)
        candidates = {
            lease.id: self._candidate(now, lease)
            for lease in ledger.leases.values()
            if lease.state is LeaseState.ACTIVE and self._may_stop(now, lease, head, reclaims)
        }
        ending = frozenset(lease.id for lease in ledger.leases.values() if lease.state is LeaseState.NOTICED)
        return Search(ledger.space, candidates, ending, lambda victims: self._allowed(victims, candidates, head.ask.team))

    def _may_stop(self, now: float, lease: Lease, head: Request, reclaims: bool) -> bool:
        ask = self._asker(lease).ask
        if not ask.preemptible:
            return False
        if self._outranks(now, head, lease):
            return True
        return reclaims and ask.team != head.ask.team and quota.borrowed(self.ledger.quotas, self.ledger.use, ask.team) > 0

    def _outranks(self, now: float, head: Request, lease: Lease) -> bool:
        """By declared priority, and by rank: whoever is stopped must stand behind the one it makes room for, or it would take it back."""
        asker, ageing_s = self._asker(lease), self.ledger.config.ageing_s
        return asker.ask.priority < head.ask.priority and rank(asker, lease.granted_at, ageing_s) + 1 <= rank(head, now, ageing_s)

    def _grace(self, request: Request) -> float:
        return self.ledger.config.notice_s if request.ask.grace_s is None else request.ask.grace_s

    def _allowed(self, victims: object, candidates: dict[str, Candidate], own: str) -> bool:
        """No other team goes below its guarantee: without the smallest of its victims it would still hold more than that."""
        ledger = self.ledger
        if not ledger.quotas:
            return True
        by_team: dict[str, list[int]] = {}
        for victim in victims:  # type: ignore[attr-defined]
            by_team.setdefault(self._asker(ledger.leases[victim]).ask.team, []).append(candidates[victim].milli)
        return all(
            sum(sizes) - min(sizes) < quota.borrowed(ledger.quotas, ledger.use, team) for team, sizes in by_team.items() if team != own
        )

    def _candidate(self, now: float, lease: Lease) -> Candidate:
        gpus = sum(len(grant.uuids) * grant.milli for grant in lease.grants) / 1000
        lost = round(max(0.0, now - lease.granted_at) * gpus, 3)
        return Candidate(lease.id, self._asker(lease).ask.priority, lost, quota_milli(lease.grants))

    def _asker(self, lease: Lease) -> Request:
        return self.ledger.requests[lease.request_id]


def _counted(number: int) -> str:
    return "One lease has been" if number == 1 else f"{number} leases have been"
