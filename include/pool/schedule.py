"""One pass over the queue: who gets what now, what is kept for whoever is next, who has to stop, and why the others wait.

In the queue's order everybody starts who has room on devices that are kept for nobody. Who has none has a turn if nobody before it has a
reservation among the devices that suit it: each part of the fleet that requests compete for has a turn of its own. The turn's place is
reserved: the devices that will be free together first, by the expected ends of leases; leases without end are not awaited, and what can't
come free is not reserved. Others start there only where they can't delay it (they are lent the place): preemptible ones that say how long
they take and with their grace are gone before it begins; and, as long as nobody knows when it begins, any preemptible one. They are told
to stop one grace before the place is needed, and only if it is.

Whose turn it is may have others stop (see ``may_stop`` and ``victims``). So may everybody who stays within what its team is guaranteed,
whoever stands before it: teams within their guarantee come before all who borrow. Nobody is stopped for a place that is expected to be
free before a notice would have run out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from include.pool import burst, homewards, may_stop, quota, recut
from include.pool.ask import Ask
from include.pool.awaited import expected_end, give_up, is_certain
from include.pool.ledger import Ledger
from include.pool.order import in_order
from include.pool.possible import smallest_milli
from include.pool.ready import Ready, Reservation, Taken
from include.pool.reasons import behind, no_end, no_room, used_more
from include.pool.space import Spot, quota_milli
from include.pool.state import Grant, Lease, LeaseState, Request, RequestState
from include.pool.victims import Plan, Search

EXPLAINED = 25
"""So many of the queue's first are told in full why they wait and when they may start; on fleets over ``LARGE`` only the first."""
LARGE = 500


@dataclass(frozen=True)
class Turn:
    """Whose turn it is on some part of the fleet. ``certain``: its place will be free at ``reservation.at`` by the word of those who hold
    it; else that is a guess."""

    request: Request
    reservation: Reservation
    certain: bool


class Pass:
    """One look at everything. ``turns`` is what it found, and ``stuck`` who would have a turn if any place could come free."""

    def __init__(self, ledger: Ledger, ready: Ready) -> None:
        self.ledger, self.ready = ledger, ready
        self.turns: list[Turn] = []
        self.stuck: list[Request] = []
        self.kept: frozenset[Spot] = frozenset()
        self.booked: dict[Spot, float] = {}
        self._claimed: set[str] = set()
        self._within: set[str] = set()
        self._failed: set[object] = set()
        self._hopeless: set[object] = set()
        self._smallest: dict[object, int] = {}
        self._suits: dict[object, frozenset[str]] = {}
        self._delays: dict[str, float] = {}
        self._before, self._now = 0, 0.0
        self.explained = EXPLAINED if len(ledger.space.capacity) <= LARGE else 1

    def run(self, now: float) -> None:
        """Start what may start, give notices, explain the rest."""
        give_up(self.ledger, now)
        self._now = now
        if self.ledger.space.parts:
            self.ledger.space.placer().policy.at(now)
        assert self._loans is not None  # those of this pass come later
        line = self._with_claims(self.line(now))
        for request in line:
            held = self.held(request)
            if held:
                self.ledger.waits(request, (held,))
            elif not (
                self._start_outside(now, request) or self._cut(now, request) or self._borrow(now, request) or self._take_turn(now, request)
            ):
                self._waits_behind(now, request)
            if request.state is RequestState.WAITING:
                self._before += 1
        self._settle_loans()
        burst.plan(self.ledger, now, (request for request in line if not self.held(request)), self.kept)
        homewards.look(self.ledger, now, (request for request in line if not self.held(request)), self.kept)
        self.ledger.dirty = False
        self.ledger.owed.clear()

    # The line

    def _with_claims(self, line: list[Request]) -> list[Request]:
        """Before all others come those for whom leases stop or have just stopped: or who was stopped, and stood before them in line,
        would take back what it gave, and be stopped again for ever."""
        claims = self.ledger.owed | self.ledger.clearing.keys()
        return sorted(line, key=lambda request: request.id not in claims) if claims else line

    def line(self, now: float) -> list[Request]:
        """Who waits, first in line first."""
        return self._sorted(now, [request for request in self.ledger.requests.values() if request.state is RequestState.WAITING])

    def line_with(self, now: float, asked: Request) -> list[Request]:
        """The line if this one stood in it too."""
        return self._sorted(now, [*self.line(now), asked])

    def _sorted(self, now: float, waiting: list[Request]) -> list[Request]:
        ledger = self.ledger
        teams = {request.ask.team for request in waiting}
        shares, self._delays = ledger.shares(now, teams), ledger.delays(now, teams)
        line = in_order(waiting, now, ledger.config.ageing_s, shares.__getitem__, self._delays.__getitem__)
        if ledger.quotas:
            self._within = self._within_guarantee(line)
            line.sort(key=lambda request: request.id not in self._within)
        return line

    def _within_guarantee(self, line: list[Request]) -> set[str]:
        """Those that their teams' guarantees cover together, with what the teams hold already."""
        used, within = Counter(self.ledger.use.all), set()
        for request in line:
            team, milli = request.ask.team, self._least(request.ask)
            if used[team] + milli <= quota.guaranteed(self.ledger.quotas, team):
                used[team] += milli
                within.add(request.id)
        return within

    def _least(self, ask: Ask) -> int:
        if ask.shape not in self._smallest:
            self._smallest[ask.shape] = smallest_milli(ask, self.ledger.space)
        return self._smallest[ask.shape]

    def held(self, request: Request, milli: int | None = None) -> str:
        """Why a budget, the quota of its own team, or what others are guaranteed keeps it from starting."""
        ledger = self.ledger
        if budget := ledger.why_not(request):
            return budget
        if not ledger.quotas:
            return ""
        wanted = self._least(request.ask) if milli is None else milli
        return quota.over_limit(ledger.quotas, ledger.use, request.ask, wanted) or quota.takes_guaranteed(
            ledger.quotas, ledger.use, request.ask, wanted, self._capacity
        )

    @cached_property
    def _capacity(self) -> int:
        return self.ledger.space.capacity_milli()

    # Starting

    def _start_outside(self, now: float, request: Request) -> bool:
        """On devices that are kept for nobody."""
        ask = request.ask
        alike = self.ledger.space.places_alike(ask)
        if alike in self._failed:
            return False
        grants = self.ledger.space.find(ask, self.kept)
        if grants is None:
            self._failed.add(alike)
            return False
        return self._start(now, request, grants)

    def _start(self, now: float, request: Request, grants: tuple[Grant, ...], lender: Turn | None = None) -> bool:
        if self.held(request, quota_milli(grants)):  # it counts more on this device than it would at best
            return False
        at = lender.reservation.at if lender and lender.reservation.at > now else None
        self.ledger.grant(now, request, grants, lender.request.id if lender else "", at)
        return True

    def _cut(self, now: float, request: Request) -> bool:
        """By cutting a GPU anew into the instances that it asks for: nobody has to stop for that."""
        if not request.ask.mig or request.id in self.ledger.clearing or ("cut", request.ask.shape) in self._failed:
            return False
        node = recut.cut(self.ledger, now, request, self._wanted, self.kept)
        if not node:
            self._failed.add(("cut", request.ask.shape))
            return False
        self.ledger.waits(request, (f"A GPU of {node} is being cut into the instances that it asks for.",))
        return True

    @cached_property
    def _wanted(self) -> list[Request]:
        """Who waits for MIG instances, first in line first, as the pass began."""
        return [request for request in self.line(self._now) if request.ask.mig]

    def _borrow(self, now: float, request: Request) -> bool:
        """On devices that are reserved for whoever stands before it, where that one is not delayed."""
        ask = request.ask
        if not ask.preemptible or request.id in self.ledger.clearing:
            return False
        lenders = [number for number, turn in enumerate(self.turns) if self._lends(now, turn, request)]
        tried = ("lent", self.ledger.space.places_alike(ask), *lenders)
        if not lenders or tried in self._failed:
            return False
        lent = frozenset().union(*(self.turns[number].reservation.spots for number in lenders))
        grants = self.ledger.space.find(ask, self.kept - lent)
        spots = {(grant.node, uuid) for grant in grants or () for uuid in grant.uuids}
        owners = [self.turns[number] for number in lenders if not spots.isdisjoint(self.turns[number].reservation.spots)]
        if grants is None or len(owners) != 1:
            self._failed.add(tried)
            return False
        return self._start(now, request, grants, owners[0])

    def _lends(self, now: float, turn: Turn, request: Request) -> bool:
        if not turn.certain:
            return True
        duration = request.ask.duration_s
        return duration is not None and now + duration + self.ledger.grace_s(request) <= turn.reservation.at

    def _settle_loans(self) -> None:
        """A loan ends with its reason."""
        turns = {turn.request.id: turn for turn in self.turns}
        for lease in self.ledger.leases.values():
            if lease.lent_by:
                lender, turn = self.ledger.requests.get(lease.lent_by), turns.get(lease.lent_by)
                if lender is None or lender.state is not RequestState.WAITING:
                    self.ledger.lend(lease, "", None)
                elif turn is None or turn.reservation.spots.isdisjoint(_spots(lease)):
                    self.ledger.lend(lease, lease.lent_by, None)

    # Turns

    def suits(self, ask: Ask) -> frozenset[str]:
        """The parts of the fleet that the ask competes for."""
        if ask.shape not in self._suits:
            space = self.ledger.space
            self._suits[ask.shape] = frozenset(part.name for way in space.alternatives(ask) for part in space.parts_for(way))
        return self._suits[ask.shape]

    def is_next(self, request: Request) -> bool:
        """Whether nobody before it has a reservation among the devices that suit it."""
        return self._claimed.isdisjoint(self.suits(request.ask))

    def keep(self, turn: Turn) -> None:
        """Its place is kept; those behind it have what is left."""
        self.turns.append(turn)
        self.kept |= turn.reservation.spots
        nodes = {node for node, _ in turn.reservation.spots}
        self._claimed |= {
            part.name
            for node in nodes
            for part in self.ledger.space.parts_of.get(node, ())
            if any((node, device.uuid) in turn.reservation.spots for device in part.devices)
        }

    def _take_turn(self, now: float, request: Request) -> bool:
        """Reserve its place, and have others stop if that is how it gets one. False: it has no turn, and waits behind others."""
        ledger, ask, first = self.ledger, request.ask, self.is_next(request)
        if not first and request.id not in self._within and request.id not in ledger.clearing:
            return False
        plan, told = self._make_room(now, request, first)
        reservation = self.place(request) if first else None
        if told and plan is not None and told.issuperset(plan.victims):
            reservation = Reservation(now + plan.start_s, plan.spots)
        elif told and reservation is None:
            reservation = self.place(request)
        if reservation is None:
            if first:
                self._is_stuck(request)
            return first
        turn = Turn(request, reservation, self._is_certain(now, request, reservation))
        self.keep(turn)
        self._recall(now, turn)
        self._book(request, now, reservation)
        at, told = reservation.at, ledger.clearing.get(request.id, set())
        ledger.waits(request, (*no_room(ask, ledger.space), *_told(len(told))), at if at > now else None)
        return True

    def _is_stuck(self, request: Request) -> None:
        """No place could come free for it: the first of its kind is told why, and looked at again when it may stop others."""
        ledger, ask = self.ledger, request.ask
        kind = ("stuck", ledger.space.places_alike(ask), ask.team, ask.priority)
        if kind not in self._failed:
            self._failed.add(kind)
            self.stuck.append(request)
            ledger.waits(request, (*no_room(ask, ledger.space), *no_end(bool(ledger.unawaited))))
        else:
            ledger.waits(request, no_end(bool(ledger.unawaited)) or behind(self.explained, more=True))

    def place(self, request: Request) -> Reservation | None:
        """Where it would have room first."""
        lent = frozenset(lease.id for lease in self._lent(request))
        nowhere = ("nowhere", self.ledger.space.places_alike(request.ask))
        if not lent and nowhere in self._failed:
            return None
        found = self.ready.earliest(request.ask, Taken(kept=self.kept, lent=lent))
        if found is None and not lent:
            self._failed.add(nowhere)  # in this pass what is kept only grows
        return found

    def _lent(self, request: Request) -> list[Lease]:
        return [lease for lease in self._loans.get(request.id, ()) if lease.state is LeaseState.ACTIVE]

    @cached_property
    def _loans(self) -> dict[str, list[Lease]]:
        """Lender → leases, as the pass began."""
        loans: dict[str, list[Lease]] = {}
        for lease in self.ledger.leases.values():
            if lease.lent_by:
                loans.setdefault(lease.lent_by, []).append(lease)
        return loans

    def _is_certain(self, now: float, request: Request, reservation: Reservation) -> bool:
        leases = (self.ledger.leases[lease] for spot in reservation.spots for lease in self.ledger.space.leased.get(spot, ()))
        awaited = [lease for lease in leases if lease.lent_by != request.id and expected_end(self.ledger, lease) <= reservation.at]
        return all(is_certain(self.ledger, lease, now) for lease in awaited)

    def _make_room(self, now: float, request: Request, first: bool) -> tuple[Plan | None, set[str]]:
        """Give notices if that is how it gets its place: the plan, and who stops for it. While victims stop no more are told to."""
        told = self.ledger.clearing.get(request.id, set())
        reclaims = request.id in self._within
        key = (self.ledger.space.places_alike(request.ask), request.ask.team, request.ask.priority, reclaims)
        if not told and key in self._hopeless:
            return None, set()
        plan = self.search(now, request).cheapest(request.ask)
        if plan is None:
            self._hopeless.add(key)
        elif not told and plan.victims and not (first and self._is_soon(now, request, plan)):
            for victim in plan.victims:
                lease = self.ledger.leases[victim]
                self.ledger.notice(now, lease, *may_stop.kind(self.ledger, now, lease, request), request.id)
            told = set(plan.victims)
        return plan, told

    def _is_soon(self, now: float, request: Request, plan: Plan) -> bool:
        """Whether a place is expected to be free before the last victim had to be gone."""
        found = self.place(request)
        return found is not None and now < found.at <= now + plan.start_s and self._is_certain(now, request, found)

    def _recall(self, now: float, turn: Turn) -> None:
        """Who was let in on its place stops in time for it."""
        at = turn.reservation.at
        for lease in self._lent(turn.request):
            if turn.reservation.spots.isdisjoint(_spots(lease)):
                continue
            if turn.certain and now >= at - self.ledger.grace_s(self.ledger.requests[lease.request_id]):
                self.ledger.notice(now, lease, *may_stop.kind(self.ledger, now, lease, turn.request), turn.request.id)
            else:
                self.ledger.lend(lease, turn.request.id, at if at > now else None)

    def search(self, now: float, request: Request) -> Search:
        """Who may be told to stop for this request."""
        return may_stop.search(self.ledger, now, request, request.id in self._within, self.kept | self.ledger.space.closed_to(request.ask))

    # Those behind

    def _waits_behind(self, now: float, request: Request) -> None:
        if self._before >= self.explained:
            self.ledger.waits(request, (*behind(self.explained, more=True), *used_more(self._delays[request.ask.team])))
            return
        reservation = self.ready.earliest(request.ask, Taken(self.booked))
        if reservation is not None:
            self._book(request, now, reservation)
        at = reservation.at if reservation and reservation.at > now else None
        told = (*behind(self._before), *used_more(self._delays[request.ask.team]))
        self.ledger.waits(request, (*told, *no_room(request.ask, self.ledger.space)), at)

    def _book(self, request: Request, now: float, reservation: Reservation) -> None:
        """For the estimates of those behind it: these devices are taken until it will have ended."""
        if self.explained > 1:
            until = max(reservation.at, now) + (request.ask.duration_s or self.ledger.config.default_duration_s)
            self.booked |= {spot: max(until, self.booked.get(spot, 0.0)) for spot in reservation.spots}


def _spots(lease: Lease) -> list[Spot]:
    return [(grant.node, uuid) for grant in lease.grants for uuid in grant.uuids]


def _told(number: int) -> tuple[str, ...]:
    return (f"{'One lease has' if number == 1 else f'{number} leases have'} been told to stop for it.",) if number else ()
