"""Who has to stop for whom. One comparator: of all places that could be made free, on all devices that suit, the cheapest wins, by

1. whether a lease has to end that its team is guaranteed in part (only for a team that asks for its own guarantee),
2. the highest priority among its victims,
3. how many leases end,
4. how long it takes until the last of them is gone (seconds),
5. the work lost, GPU-seconds since the last checkpoint that was told of, or since the lease began,
6. the place's name, so that the choice is one.

The nodes of a gang are chosen together. The search is exact; only where more than ``cheapest.FEW`` leases lie on several nodes each, or
the budgets of teams bind on large fleets, it may miss the best and find a good one, from which whoever is superfluous is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from include.placement.node import FULL
from include.placement.workload import Workload
from include.pool import shared_device
from include.pool.ask import Ask
from include.pool.cheapest import Cheapest
from include.pool.frontier import Budgets, Candidate, Frontier, Piece, Way
from include.pool.rationed import Rationed
from include.pool.shared_device import Shared
from include.pool.space import Part, Space, Spot

NO_SPOTS: frozenset[Spot] = frozenset()


@dataclass(frozen=True, order=True)
class Plan:
    """Leases to end, cheapest plan smallest; ``spots`` are the devices that will then be free."""

    straddles: bool
    priority: int
    count: int
    start_s: float
    lost: float
    place: str
    victims: tuple[str, ...]
    spots: frozenset[Spot] = field(compare=False)


@dataclass(frozen=True)
class Clearable:
    """A whole device with the leases that would have to end for it, and when those that end anyway are gone (seconds from now)."""

    uuid: str
    on_it: frozenset[str]
    start_s: float


@dataclass(frozen=True)
class Search:
    """``ending`` leases go anyway, after so many seconds: what they hold costs nothing. ``kept`` devices are others' already. ``budgets``
    are tried in order: the first that allow a plan hold."""

    space: Space
    candidates: Mapping[str, Candidate]
    ending: Mapping[str, float]
    budgets: tuple[Budgets, ...] = (Budgets(),)
    kept: frozenset[Spot] = NO_SPOTS

    def cheapest(self, ask: Ask) -> Plan | None:
        """The cheapest way to make room for the ask; None if there is none. No victims: what is ending will do."""
        shared = [list(self._shared(request)) for request in self.space.alternatives(ask) if request.shared]
        whole = [(request.gpus, self._clearable(request)) for request in self.space.alternatives(ask) if not request.shared]
        bounds = sorted({0, *(one.priority for one in self.candidates.values())})
        for budgets in self.budgets:
            allowed = {one.lease: one for one in self.candidates.values() if not budgets.forbid(one)}
            for bound in bounds:
                usable = {lease: one for lease, one in allowed.items() if one.priority <= bound}
                frontier = Frontier(usable, budgets)
                plans = [self._plan(way, 1, budgets) for devices in shared for way in shared_device.ways(devices, frontier, usable)]
                for gpus, devices_of in whole:
                    plans += [self._plan(way, gpus, budgets) for way in self._whole(gpus, ask.nodes, devices_of, usable, budgets)]
                if plans:
                    return min(plans)
        return None

    # Whole devices

    def _clearable(self, request: Workload) -> dict[str, list[Clearable]]:
        """Those that are free once candidates have ended, and those that are."""
        return {part.name: list(self._devices(part)) for part in self.space.parts_for(request)}

    def _devices(self, part: Part) -> Iterator[Clearable]:
        for device in part.devices:
            spot = (part.node, device.uuid)
            if spot in self.kept or self.space.capacity.get(spot, 0) != FULL:
                continue
            leased = self.space.leased.get(spot, {})
            on_it = frozenset(lease for lease in leased if lease not in self.ending)
            if on_it <= self.candidates.keys():
                yield Clearable(device.uuid, on_it, max((self.ending[lease] for lease in leased if lease in self.ending), default=0.0))

    def _whole(
        self, gpus: int, nodes: int, devices_of: Mapping[str, list[Clearable]], usable: Mapping[str, Candidate], budgets: Budgets
    ) -> list[Way]:
        """The cheapest ways. Budgets are looked at only where the cheapest without them would pass one."""
        pieces = {part: _pieces(devices, usable) for part, devices in devices_of.items()}
        pieces = {part: found for part, found in pieces.items() if sum(piece.gives for piece in found) >= gpus}
        if len(pieces) < nodes:
            return []
        found = Cheapest(usable, pieces, self._node, gpus, nodes).way()
        ways, bind = [found] if found is not None else [], dict[str, int]()
        while ways:
            ways = [self._needed(way, gpus) for way in ways] if nodes > 1 else ways
            fine = [way for way in ways if not self._over(way, budgets)]
            if fine:
                return fine
            bind |= {team: budgets.milli[team] for way in ways for team in self._over(way, budgets)}
            ways = Rationed(usable, pieces, self._node, gpus, nodes, replace(budgets, milli=bind)).ways()
        return []

    def _node(self, part: str) -> str:
        return self.space.parts[part].node

    def _over(self, way: Way, budgets: Budgets) -> list[str]:
        """Teams that would give more than they may."""
        if not budgets.milli:
            return []
        sizes: dict[str, list[int]] = {}
        for one in (self.candidates[victim] for victim in way.victims):
            if one.team in budgets.milli:
                sizes.setdefault(one.team, []).append(one.milli)
        return [team for team, some in sizes.items() if budgets.over(sum(some), min(some), team)]

    def _needed(self, way: Way, gpus: int) -> Way:
        """Without whoever is superfluous: a lease on several nodes may have made others so."""
        found = {name: list(self._devices(self.space.parts[name])) for name in way.parts}
        on = Counter(victim for some in found.values() for victim in {one for device in some for one in device.on_it} & way.victims)
        if max(on.values(), default=0) < 2:
            return way
        for victim in sorted(way.victims, key=lambda one: (-self.candidates[one].priority, -self.candidates[one].lost, one)):
            left = way.victims - {victim}
            free = [[one for one in some if one.on_it <= left] for some in found.values()]
            if all(len(some) >= gpus for some in free):
                chosen = [sorted(some, key=lambda one: (len(one.on_it), one.start_s))[:gpus] for some in free]
                start_s = max((one.start_s for some in chosen for one in some), default=0.0)
                devices = tuple(one.uuid for some in chosen for one in some)
                way = Frontier(self.candidates, Budgets()).join(Way(), left, start_s, devices, way.parts) or way
        return way

    # Shares

    def _shared(self, request: Workload) -> Iterator[Shared]:
        for part in self.space.parts_for(request):
            milli = request.milli_on(part.usable_mib)
            for device in part.devices:
                spot = (part.node, device.uuid)
                capacity = self.space.capacity.get(spot, 0)
                if spot in self.kept or capacity < milli:
                    continue
                leased = self.space.leased.get(spot, {})
                held = {lease: amount for lease, amount in leased.items() if lease not in self.ending}
                start_s = 0.0
                if self.space.free(spot) < milli:
                    start_s = max((self.ending[lease] for lease in leased if lease in self.ending), default=0.0)
                may_end = {lease: amount for lease, amount in held.items() if lease in self.candidates}
                yield Shared(part.name, device.uuid, milli - (capacity - sum(held.values())), start_s, may_end)

    def _plan(self, way: Way, gpus: int, budgets: Budgets) -> Plan:
        """Of a part so many devices: what has come free beyond that is not needed."""
        nodes = [self._node(part) for part in way.parts]
        spots = frozenset((node, uuid) for number, node in enumerate(nodes) for uuid in way.devices[number * gpus : (number + 1) * gpus])
        place = "+".join(way.parts) + "/" + ",".join(sorted(uuid for _, uuid in spots))
        priority = max((self.candidates[victim].priority for victim in way.victims), default=0)
        return Plan(budgets.straddling, priority, way.count, way.start_s, way.lost, place, tuple(sorted(way.victims)), spots)


def _pieces(devices: list[Clearable], usable: Mapping[str, Candidate]) -> list[Piece]:
    """Devices that come free together, those that are free first."""
    together: dict[tuple[frozenset[str], float], list[str]] = {}
    for device in devices:
        if device.on_it <= usable.keys():
            together.setdefault((device.on_it, device.start_s), []).append(device.uuid)
    found: list[Piece] = []
    for (on_it, start_s), uuids in together.items():
        if on_it:
            found.append(Piece(len(uuids), on_it, tuple(uuids), max(start_s, *(usable[lease].grace_s for lease in on_it))))
        else:
            found += [Piece(1, on_it, (uuid,), start_s) for uuid in uuids]
    found.sort(key=lambda piece: (len(piece.victims), piece.start_s, piece.devices))
    return found
