"""Who has to stop for whom. One comparator: of all places that could be made free, on all devices that suit, the cheapest wins, by

1. whether a lease has to end that its team is guaranteed in part (only for a team that asks for its own guarantee),
2. the highest priority among its victims,
3. how many leases end,
4. how long it takes until the last of them is gone (seconds),
5. the work lost, GPU-seconds,
6. the place's name, so that the choice is one.

The nodes of a gang are chosen together. The search is exact; only where many leases lie on several nodes each, or the budgets of many
teams bind at once, it keeps the best ``MOST_WAYS`` (``frontier``), and drops whoever proves superfluous in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

from include.placement.node import FULL
from include.placement.request import Request as PlacedRequest
from include.pool.ask import Ask
from include.pool.frontier import Budgets, Candidate, Frontier, Piece, Way, keep
from include.pool.space import Part, Space, Spot

MOST_SETS = 5_000
"""So many sets of a shared device's leases are tried one by one; beyond, by dynamic programming."""
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
    """A device with the leases that would have to end for it, and when those that end anyway are gone (seconds from now)."""

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
        found = [(request, self._clearable(request)) for request in self.space.alternatives(ask)]
        bounds = [0, *sorted({one.priority for one in self.candidates.values()} - {0})]
        for budgets in self.budgets:
            for bound in bounds:
                plans = (self._within(ask, request, parts, budgets, bound) for request, parts in found)
                best = min((plan for plan in plans if plan is not None), default=None)
                if best is not None:
                    return best
        return None

    def _clearable(self, request: PlacedRequest) -> dict[str, list[Clearable]]:
        """Whole devices: those that are free once candidates have ended, and those that are. Of shared ones: all in service."""
        return {part.name: list(self._devices(part, request.shared)) for part in self.space.parts_for(request)}

    def _devices(self, part: Part, shared: bool) -> Iterator[Clearable]:
        for device in part.devices:
            spot = (part.node, device.uuid)
            capacity = self.space.capacity.get(spot, 0)
            if spot in self.kept or not capacity or (capacity < FULL and not shared):
                continue
            leased = self.space.leased.get(spot, {})
            on_it = frozenset(lease for lease in leased if lease not in self.ending)
            if shared or on_it <= self.candidates.keys():
                yield Clearable(device.uuid, on_it, max((self.ending[lease] for lease in leased if lease in self.ending), default=0.0))

    def _within(self, ask: Ask, request: PlacedRequest, parts: dict[str, list[Clearable]], budgets: Budgets, bound: int) -> Plan | None:
        """By ending leases up to this priority."""
        usable = {lease: one for lease, one in self.candidates.items() if one.priority <= bound}
        if request.shared:
            return self._share(request, parts, usable, budgets)
        pieces = {part: _pieces(devices, usable) for part, devices in parts.items()}
        pieces = {part: found for part, found in pieces.items() if sum(piece.gives for piece in found) >= request.gpus}
        if ask.nodes == 1:
            frontier = Frontier(usable, budgets)
            ways = (replace(way, parts=(part,)) for part, found in pieces.items() for way in frontier.ways(found, request.gpus))
            return min((self._plan(way, request.gpus, budgets) for way in ways), default=None)
        return self._gang(ask.nodes, request.gpus, pieces, usable, budgets)

    # A share of one device

    def _share(
        self, request: PlacedRequest, parts: dict[str, list[Clearable]], usable: Mapping[str, Candidate], budgets: Budgets
    ) -> Plan | None:
        """Fewest leases first: devices where so many can't do are not looked at."""
        frontier = Frontier(usable, budgets)
        least: list[tuple[int, str, Part, Clearable, int]] = []
        for name, devices in parts.items():
            part = self.space.parts[name]
            milli = request.milli_on(part.usable_mib)
            for device in devices:
                missing = self._missing(part, device, milli)
                count = _fewest(missing, self._held(part, device, usable).values())
                if count is not None and self.space.capacity[part.node, device.uuid] >= milli:
                    least.append((count, f"{part.name}/{device.uuid}", part, device, missing))
        best: Plan | None = None
        for count, _, part, device, missing in sorted(least, key=lambda entry: entry[:2]):
            if best is not None and count > best.count:
                break
            start_s = 0.0 if self.space.free((part.node, device.uuid)) >= request.milli_on(part.usable_mib) else device.start_s
            alone = Way(start_s=start_s, devices=(device.uuid,), parts=(part.name,))
            for way in _sets(frontier, alone, self._held(part, device, usable), missing, count):
                plan = self._plan(way, 1, budgets)
                best = plan if best is None or plan < best else best
        return best

    def _missing(self, part: Part, device: Clearable, milli: int) -> int:
        spot = (part.node, device.uuid)
        leased = self.space.leased.get(spot, {})
        return milli - (self.space.capacity[spot] - sum(held for lease, held in leased.items() if lease not in self.ending))

    def _held(self, part: Part, device: Clearable, usable: Mapping[str, Candidate]) -> dict[str, int]:
        leased = self.space.leased.get((part.node, device.uuid), {})
        return {lease: leased[lease] for lease in sorted(device.on_it) if lease in usable}

    # Several nodes at once

    def _gang(
        self, nodes: int, gpus: int, pieces: Mapping[str, list[Piece]], usable: Mapping[str, Candidate], budgets: Budgets
    ) -> Plan | None:
        """Node after node, with every way to have so many of them that may still be part of the best."""
        by_node: dict[str, list[str]] = {}
        for part in sorted(pieces):
            by_node.setdefault(self.space.parts[part].node, []).append(part)
        if len(by_node) < nodes:
            return None
        last = _last_seen(by_node, pieces)
        frontier = Frontier(usable, budgets)
        cells: list[list[Way]] = [[Way()], *([] for _ in range(nodes))]
        for number, node in enumerate(by_node):
            here = frozenset(victim for part in by_node[node] for piece in pieces[part] for victim in piece.victims)
            later = frozenset(victim for victim, seen in last.items() if seen > number)
            known: dict[frozenset[str], list[Way]] = {}
            for had in range(nodes - 1, -1, -1):
                for way in cells[had]:
                    paid = way.victims & here
                    if paid not in known:
                        known[paid] = [
                            replace(found, parts=(part,))
                            for part in by_node[node]
                            for found in frontier.ways(pieces[part], gpus, paid, later)
                        ]
                    for more in known[paid]:
                        new = frontier.join(way, more.victims, more.start_s, more.devices[:gpus], more.parts)
                        if new is not None:
                            keep(cells[had + 1], new, later)
        plans = (self._plan(self._needed(way, gpus, frontier), gpus, budgets) for way in cells[nodes])
        return min(plans, default=None)

    def _needed(self, way: Way, gpus: int, frontier: Frontier) -> Way:
        """Without whoever is superfluous: a lease on several nodes may have made an earlier one so."""
        for victim in sorted(way.victims, key=lambda one: (-self.candidates[one].priority, -self.candidates[one].lost, one)):
            left = way.victims - {victim}
            devices: list[str] = []
            for name in way.parts:
                free = [device.uuid for device in self._devices(self.space.parts[name], shared=False) if device.on_it <= left]
                devices += free[:gpus]
            if len(devices) == len(way.devices):
                fewer = frontier.join(Way(start_s=0.0), left, way.start_s if not left else 0.0, tuple(devices), way.parts)
                way = fewer or way
        return way

    def _plan(self, way: Way, gpus: int, budgets: Budgets) -> Plan:
        """Of a part so many devices: what has come free beyond that is not needed."""
        nodes = [self.space.parts[name].node for name in way.parts]
        spots = frozenset((node, uuid) for number, node in enumerate(nodes) for uuid in way.devices[number * gpus : (number + 1) * gpus])
        place = "+".join(way.parts) + "/" + ",".join(sorted(uuid for _, uuid in spots))
        priority = max((self.candidates[victim].priority for victim in way.victims), default=0)
        return Plan(budgets.straddling, priority, way.count, way.start_s, way.lost, place, tuple(sorted(way.victims)), spots)


def _sets(frontier: Frontier, alone: Way, held: Mapping[str, int], missing: int, count: int) -> Iterable[Way]:
    """The smallest allowed sets of a device's leases whose end leaves enough."""
    if missing <= 0:
        return [alone]
    while count <= len(held) and math.comb(len(held), count) <= MOST_SETS:
        enough = (frozenset(some) for some in combinations(held, count) if sum(held[one] for one in some) >= missing)
        ways = [way for some in enough if (way := frontier.join(alone, some)) is not None]
        if ways:
            return ways
        count += 1
    if count > len(held):
        return []
    pieces = [Piece(amount, frozenset((lease,))) for lease, amount in held.items()]
    return [way for found in frontier.ways(pieces, missing) if (way := frontier.join(alone, found.victims)) is not None]


def _pieces(devices: list[Clearable], usable: Mapping[str, Candidate]) -> list[Piece]:
    """Devices that come free together, those that are free first."""
    together: dict[tuple[frozenset[str], float], list[str]] = {}
    for device in devices:
        if device.on_it <= usable.keys():
            together.setdefault((device.on_it, device.start_s), []).append(device.uuid)
    alone = [((on_it, start_s), [uuid]) for (on_it, start_s), uuids in together.items() if not on_it for uuid in uuids]
    found = [*alone, *((key, uuids) for key, uuids in together.items() if key[0])]
    found.sort(key=lambda entry: (len(entry[0][0]), entry[0][1], entry[1]))
    return [Piece(len(uuids), on_it, tuple(uuids), start_s) for (on_it, start_s), uuids in found]


def _fewest(missing: int, held: Iterable[int]) -> int | None:
    """How many at least must end to free so much; None if all together can't."""
    count = 0
    for amount in sorted(held, reverse=True):
        if missing <= 0:
            break
        missing, count = missing - amount, count + 1
    return count if missing <= 0 else None


def _last_seen(by_node: Mapping[str, list[str]], pieces: Mapping[str, list[Piece]]) -> dict[str, int]:
    """Lease → the number of the last of these nodes on which it lies."""
    last: dict[str, int] = {}
    for number, parts in enumerate(by_node.values()):
        last |= {victim: number for part in parts for piece in pieces[part] for victim in piece.victims}
    return last
