"""When and where a request will have room: the reservation of whoever is next for some part of the fleet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from include.placement.node import FULL
from include.placement.workload import Workload
from include.pool import topology
from include.pool.ask import Ask
from include.pool.space import Part, Space, Spot
from include.pool.state import Device

Ends = Callable[[str], float]
"""Lease id → when it is expected to have ended (seconds since the epoch; in the past if it has overrun; infinite if it has no end)."""


@dataclass(frozen=True)
class Taken:
    """What is not to be had as the leases say: ``booked`` devices will be others' until then, ``kept`` ones are others' for good, and
    ``lent`` leases end whenever they are told to."""

    booked: Mapping[Spot, float] = field(default_factory=dict)
    kept: frozenset[Spot] = frozenset()
    lent: frozenset[str] = frozenset()


NOTHING = Taken()


@dataclass(frozen=True)
class Reservation:
    """Devices that will be free together from ``at`` on; 0 if they are now."""

    at: float
    spots: frozenset[Spot]


@dataclass
class Ready:
    """Looks ahead. What was found for a part is kept until the part changes."""

    space: Space
    ends: Ends
    _kept: dict[tuple[Workload, str], tuple[int, tuple[float, tuple[str, ...]] | None]] = field(default_factory=dict)

    def earliest(self, ask: Ask, taken: Taken = NOTHING) -> Reservation | None:
        """The reservation with the earliest time, by the expected ends of leases; None if no place in service will ever do, as far as
        anybody knows."""
        if closed := self.space.closed_to(ask):
            taken = replace(taken, kept=taken.kept | closed)
        touched = {node for node, _ in (*taken.booked, *taken.kept)}
        touched |= {node for node, _ in self.space.spots_of(taken.lent)}
        found = [reservation for request in self.space.alternatives(ask) if (reservation := self._of(request, ask, taken, touched))]
        return min(found, key=lambda reservation: (reservation.at, sorted(reservation.spots)), default=None)

    def _of(self, request: Workload, ask: Ask, taken: Taken, touched: set[str]) -> Reservation | None:
        by_node: dict[str, tuple[float, str, tuple[str, ...]]] = {}
        for part in self.space.parts_for(request):
            ready = self._part(part, request, taken) if part.node in touched else self._kept_or_new(part, request)
            if ready is not None and (part.node not in by_node or ready[0] < by_node[part.node][0]):
                by_node[part.node] = (ready[0], part.node, ready[1])
        if len(by_node) < ask.nodes:
            return None
        at = sorted(by_node.values())[ask.nodes - 1][0]
        first = self._preferred([entry for entry in sorted(by_node.values()) if entry[0] <= at], ask)
        return Reservation(at, frozenset((node, uuid) for _, node, uuids in first for uuid in uuids))

    def _preferred(self, there: list[tuple[float, str, tuple[str, ...]]], ask: Ask) -> list[tuple[float, str, tuple[str, ...]]]:
        """Of the nodes that are ready by then as many as are asked, as the ask prefers them where that costs no time."""
        if ask.within:
            there = sorted(there, key=lambda entry: not topology.near(self._devices(entry[1], entry[2]), ask.within))
        if ask.same:
            groups: dict[str, list[tuple[float, str, tuple[str, ...]]]] = {}
            for entry in there:
                if (value := self.space.labels(entry[1]).get(ask.same)) is not None:
                    groups.setdefault(value, []).append(entry)
            enough = sorted((len(group), value) for value, group in groups.items() if len(group) >= ask.nodes)
            there = groups[enough[0][1]] if enough else there
        return there[: ask.nodes]

    def _devices(self, node: str, uuids: tuple[str, ...]) -> list[Device]:
        return [device for device in self.space.node(node).devices if device.uuid in uuids]

    def _kept_or_new(self, part: Part, request: Workload) -> tuple[float, tuple[str, ...]] | None:
        version = self.space.version[part.name]
        kept = self._kept.get((request, part.name))
        if kept is None or kept[0] != version:
            if len(self._kept) > 100_000:
                self._kept.clear()
            kept = self._kept[request, part.name] = (version, self._part(part, request, NOTHING))
        return kept[1]

    def _part(self, part: Part, request: Workload, taken: Taken) -> tuple[float, tuple[str, ...]] | None:
        """When the part has room and on which devices."""
        milli, wanted = (request.milli_on(part.usable_mib), 1) if request.shared else (FULL, request.gpus)
        times = [(self._share_at((part.node, device.uuid), milli, taken), device.uuid) for device in part.devices]
        possible = sorted((at, uuid) for at, uuid in times if not math.isinf(at))
        if len(possible) < wanted:
            return None
        at = possible[wanted - 1][0]
        if request.shared:
            return at, (possible[0][1],)
        ready = {uuid for when, uuid in possible if when <= at}
        return at, tuple(device.uuid for device in topology.choose([device for device in part.devices if device.uuid in ready], wanted))

    def _share_at(self, spot: Spot, milli: int, taken: Taken) -> float:
        """When so much of the device will be free: 0 now, infinite never (out of service, kept, or held without end)."""
        if self.space.capacity.get(spot, 0) < milli or spot in taken.kept:
            return math.inf
        free, at = self.space.free(spot), taken.booked.get(spot, 0.0)
        if free >= milli:
            return at
        leased = self.space.leased.get(spot, {})
        for end, freed in sorted((0.0 if lease in taken.lent else self.ends(lease), held) for lease, held in leased.items()):
            if free >= milli:
                break
            free, at = free + freed, max(at, end)
        return at
