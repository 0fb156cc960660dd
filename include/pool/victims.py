"""Who has to stop for whom. One comparator: of all places that could be made free the cheapest wins, by

1. the highest priority among its victims,
2. how many leases end,
3. the work lost, GPU-seconds since they were granted,
4. the place's name, so that the choice is one.

On one node the search is exact: every choice of devices up to ``MOST_CHOICES``, every set of a shared device's leases up to
``MOST_SHARERS``; beyond, the first choices by name and the largest leases. A gang takes its nodes one by one, cheapest first, which
need not be the cheapest together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, islice

from include.placement.node import FULL
from include.placement.request import Request as PlacedRequest
from include.pool.ask import Ask
from include.pool.space import Part, Space, Spot

MOST_CHOICES = 12_870
"""All of 8 out of 16 devices."""
MOST_SHARERS = 12


@dataclass(frozen=True)
class Candidate:
    """A lease that may be ended, with the work that it would lose (GPU-seconds)."""

    lease: str
    priority: int
    lost: float
    milli: int


Allowed = Callable[[Collection[str]], bool]
"""Whether these leases may all be ended: no team gives back more than it has borrowed."""


@dataclass(frozen=True, order=True)
class Plan:
    """Leases to end, cheapest plan smallest."""

    priority: int
    count: int
    lost: float
    place: str
    victims: tuple[str, ...]
    spots: frozenset[Spot] = field(compare=False)
    """The devices that will then be free."""


@dataclass(frozen=True)
class Search:
    """``ending`` leases go anyway: what they hold costs nothing."""

    space: Space
    candidates: Mapping[str, Candidate]
    ending: frozenset[str]
    allowed: Allowed

    def cheapest(self, ask: Ask) -> Plan | None:
        """The cheapest way to make room for the ask; None if there is none. No victims: what is ending will do."""
        for request in self.space.alternatives(ask):
            best: dict[str, Plan] = {}
            for part in self.space.parts_for(request):
                plan = min(self._plans(part, request), default=None)
                if plan is not None and (part.node not in best or plan < best[part.node]):
                    best[part.node] = plan
            if len(best) >= ask.nodes:
                return self._together(sorted(best.values())[: ask.nodes])
        return None

    def _together(self, plans: list[Plan]) -> Plan | None:
        victims = tuple(sorted({victim for plan in plans for victim in plan.victims}))
        spots = frozenset().union(*(plan.spots for plan in plans))
        return self._plan("+".join(plan.place for plan in plans), victims, spots) if self.allowed(victims) else None

    def _plans(self, part: Part, request: PlacedRequest) -> Iterator[Plan]:
        if request.shared:
            milli = request.milli_on(part.usable_mib)
            sets: Iterator[tuple[tuple[str, ...], frozenset[str]]] = (
                ((device.uuid,), victims) for device in part.devices for victims in self._for_share((part.node, device.uuid), milli)
            )
        else:
            sets = self._for_whole(part, request.gpus)
        for uuids, victims in sets:
            if self.allowed(victims):
                spots = frozenset((part.node, uuid) for uuid in uuids)
                yield self._plan(f"{part.name}/{','.join(uuids)}", tuple(sorted(victims)), spots)

    def _plan(self, place: str, victims: tuple[str, ...], spots: frozenset[Spot]) -> Plan:
        known = [self.candidates[victim] for victim in victims]
        return Plan(max((one.priority for one in known), default=0), len(known), sum(one.lost for one in known), place, victims, spots)

    def _for_whole(self, part: Part, wanted: int) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
        """For each choice of devices, all that is on them."""
        clearable = []
        for device in part.devices:
            spot = (part.node, device.uuid)
            on_it = frozenset(self.space.leased.get(spot, {})) - self.ending
            if self.space.capacity.get(spot, 0) == FULL and all(lease in self.candidates for lease in on_it):
                clearable.append((len(on_it), device.uuid, on_it))
        for chosen in islice(combinations(sorted(clearable, key=lambda entry: entry[:2]), wanted), MOST_CHOICES):
            yield tuple(uuid for _, uuid, _ in chosen), frozenset().union(*(on_it for _, _, on_it in chosen))

    def _for_share(self, spot: Spot, milli: int) -> Iterator[frozenset[str]]:
        """Every smallest set of a device's leases whose end leaves enough, for each bound on their priority."""
        leased = self.space.leased.get(spot, {})
        kept = sum(held for lease, held in leased.items() if lease not in self.ending)
        missing = milli - (self.space.capacity.get(spot, 0) - kept)
        if missing <= 0:
            yield frozenset()
            return
        held = {lease: amount for lease, amount in leased.items() if lease in self.candidates and lease not in self.ending}
        for bound in sorted({self.candidates[lease].priority for lease in held}):
            usable = sorted((lease for lease in held if self.candidates[lease].priority <= bound), key=lambda one: (-held[one], one))
            if len(usable) > MOST_SHARERS:
                yield from _largest_first(usable, held, missing)
            else:
                yield from _smallest(usable, held, missing, self.allowed)


def _smallest(usable: list[str], held: Mapping[str, int], missing: int, allowed: Allowed) -> Iterator[frozenset[str]]:
    for count in range(1, len(usable) + 1):
        enough = [frozenset(some) for some in combinations(usable, count) if sum(held[one] for one in some) >= missing]
        enough = [some for some in enough if allowed(some)]
        if enough:
            yield from enough
            return


def _largest_first(usable: list[str], held: Mapping[str, int], missing: int) -> Iterator[frozenset[str]]:
    freed = 0
    for number, lease in enumerate(usable, start=1):
        freed += held[lease]
        if freed >= missing:
            yield frozenset(usable[:number])
            return
