"""Who has to end for a share of one device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from include.pool.frontier import Frontier, Piece, Way

MOST_SETS = 5_000
"""So many sets of a device's leases are tried one by one; beyond, by dynamic programming."""


@dataclass(frozen=True)
class Shared:
    """A device from which ``missing`` thousandths are to come free, those that end anyway counted as gone (after ``start_s``). ``held`` is
    what each lease that may end holds of it."""

    part: str
    uuid: str
    missing: int
    start_s: float
    held: Mapping[str, int]


def ways(devices: Iterable[Shared], frontier: Frontier, usable: Mapping[str, object]) -> Iterator[Way]:
    """The cheapest sets of leases on each device that can do with the fewest: where so few can't do is not looked at."""
    least = []
    for device in devices:
        held = {lease: milli for lease, milli in device.held.items() if lease in usable}
        count = _fewest(device.missing, held)
        if count is not None:
            least.append((count, device.part, device.uuid, device, held))
    fewest = math.inf
    for count, _, _, device, held in sorted(least, key=lambda entry: entry[:3]):
        if count > fewest:
            return
        for way in _sets(frontier, Way(start_s=device.start_s, devices=(device.uuid,), parts=(device.part,)), held, device.missing, count):
            fewest = min(fewest, way.count)
            yield way


def _fewest(missing: int, held: Mapping[str, int]) -> int | None:
    """How many at least must end to free so much; None if all together can't."""
    if missing <= 0:
        return 0
    if sum(held.values()) < missing:
        return None
    for count, amount in enumerate(sorted(held.values(), reverse=True), start=1):
        missing -= amount
        if missing <= 0:
            return count
    return None


def _sets(frontier: Frontier, alone: Way, held: Mapping[str, int], missing: int, count: int) -> list[Way]:
    """The smallest allowed sets of a device's leases whose end leaves enough."""
    if missing <= 0:
        return [alone]
    while count <= len(held) and math.comb(len(held), count) <= MOST_SETS:
        enough = (frozenset(some) for some in combinations(held, count) if sum(held[one] for one in some) >= missing)
        found = [way for some in enough if (way := frontier.join(alone, some)) is not None]
        if found:
            return found
        count += 1
    if count > len(held):
        return []
    pieces = [Piece(amount, frozenset((lease,))) for lease, amount in held.items()]
    return [way for found_way in frontier.ways(pieces, missing) if (way := frontier.join(alone, found_way.victims)) is not None]
