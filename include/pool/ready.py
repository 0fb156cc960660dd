"""When and where a request will have room: the reservation of whoever is next for some part of the fleet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from include.placement.node import FULL
from include.placement.workload import Workload
from include.pool.ask import Ask
from include.pool.space import Part, Space, Spot

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
        first = sorted(by_node.values())[: ask.nodes]
        return Reservation(first[-1][0], frozenset((node, uuid) for _, node, uuids in first for uuid in uuids))

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
        chosen = possible[:wanted]
        return chosen[-1][0], tuple(uuid for _, uuid in chosen)

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
