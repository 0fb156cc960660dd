"""When and where a request will have room: the reservation of whoever is first in line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from include.placement.node import FULL
from include.placement.request import Request as PlacedRequest
from include.pool.ask import Ask
from include.pool.space import Part, Space, Spot

Ends = Callable[[str], float]
"""Lease id → when it is expected to have ended (seconds since the epoch; in the past if it has overrun)."""
Booked = Mapping[Spot, float]
"""Devices that others in line before will have until then."""
NONE: Booked = {}


@dataclass(frozen=True)
class Reservation:
    """Devices that will be free together from ``at`` on; 0 if they are now. ``parts`` are where they lie."""

    at: float
    spots: frozenset[Spot]


@dataclass
class Ready:
    """Looks ahead. What was found for a part is kept until the part changes."""

    space: Space
    ends: Ends
    _kept: dict[tuple[PlacedRequest, str], tuple[int, tuple[float, tuple[str, ...]] | None]] = field(default_factory=dict)

    def earliest(self, ask: Ask, booked: Booked = NONE) -> Reservation | None:
        """The reservation with the earliest time, by the expected ends of leases; None if no place in service will ever do."""
        found = [reservation for request in self.space.alternatives(ask) if (reservation := self._of(request, ask, booked))]
        return min(found, key=lambda reservation: (reservation.at, sorted(reservation.spots)), default=None)

    def _of(self, request: PlacedRequest, ask: Ask, booked: Booked) -> Reservation | None:
        by_node: dict[str, tuple[float, str, tuple[str, ...]]] = {}
        for part in self.space.parts_for(request):
            ready = self._kept_or_new(part, request) if not booked else self._part(part, request, booked)
            if ready is not None and (part.node not in by_node or ready[0] < by_node[part.node][0]):
                by_node[part.node] = (ready[0], part.node, ready[1])
        if len(by_node) < ask.nodes:
            return None
        first = sorted(by_node.values())[: ask.nodes]
        return Reservation(first[-1][0], frozenset((node, uuid) for _, node, uuids in first for uuid in uuids))

    def _kept_or_new(self, part: Part, request: PlacedRequest) -> tuple[float, tuple[str, ...]] | None:
        version = self.space.version[part.name]
        kept = self._kept.get((request, part.name))
        if kept is None or kept[0] != version:
            if len(self._kept) > 100_000:
                self._kept.clear()
            kept = self._kept[request, part.name] = (version, self._part(part, request, NONE))
        return kept[1]

    def _part(self, part: Part, request: PlacedRequest, booked: Booked) -> tuple[float, tuple[str, ...]] | None:
        """When the part has room and on which devices."""
        if request.shared:
            milli = request.milli_on(part.usable_mib)
            times = [(self._share_at((part.node, device.uuid), milli, booked), device.uuid) for device in part.devices]
            wanted = 1
        else:
            times = [(self._share_at((part.node, device.uuid), FULL, booked), device.uuid) for device in part.devices]
            wanted = request.gpus
        possible = sorted((at, uuid) for at, uuid in times if at is not None)
        if len(possible) < wanted:
            return None
        chosen = possible[:wanted]
        return chosen[-1][0], tuple(uuid for _, uuid in chosen)

    def _share_at(self, spot: Spot, milli: int, booked: Booked) -> float | None:
        """When so much of the device will be free: 0 now, None never (out of service, or foreign processes have it)."""
        if self.space.capacity.get(spot, 0) < milli:
            return None
        free, at = self.space.free(spot), booked.get(spot, 0.0)
        if free >= milli:
            return at
        for end, freed in sorted((self.ends(lease), held) for lease, held in self.space.leased.get(spot, {}).items()):
            if free >= milli:
                break
            free, at = free + freed, max(at, end)
        return at
