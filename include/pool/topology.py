"""Which GPUs of a node work is given: those that are near each other. Pure.

GPUs of one island are linked to each other by NVLink, which carries many times what PCIe does; GPUs of one NUMA node reach the same half of
the machine's memory without crossing over to the other. Whoever needs several GPUs is given them from one island, or one NUMA node; whoever
needs fewer than an island has gets them where the least is left over, so that whole islands stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from include.pool.state import Device

NVLINK, NUMA = "nvlink", "numa"
NEARNESS: dict[str, Callable[[Device], Hashable]] = {
    NVLINK: lambda device: device.island or None,
    NUMA: lambda device: None if device.numa < 0 else device.numa,
}
"""What is near what: devices of one value are; a device without one is near no other, as far as anybody knows."""
NAMES = {NVLINK: "all linked to each other by NVLink", NUMA: "of one NUMA node"}


def choose(free: Sequence[Device], wanted: int) -> tuple[Device, ...]:
    """Return so many of these devices, the nearest to each other; in the order of their indexes. There are enough.

    One island is better than one NUMA node, and inside either the other counts too. Where neither has room, as few islands as possible are
    used, those with the most to give first.
    """
    return tuple(sorted(_choose(free, wanted, (NVLINK, NUMA)), key=lambda device: (device.index, device.uuid)))


def _choose(free: Sequence[Device], wanted: int, by: Sequence[str]) -> list[Device]:
    ordered = sorted(free, key=lambda device: (device.index, device.uuid))
    if len(ordered) == wanted:
        return ordered
    for place, what in enumerate(by):
        groups = _groups(ordered, what)
        enough = [group for group in groups if len(group) >= wanted]
        if enough:
            return _choose(min(enough, key=len), wanted, (*by[:place], *by[place + 1 :]))
    for what in by:
        if groups := _groups(ordered, what):
            return _gathered(groups, ordered, wanted)
    return ordered[:wanted]


def _gathered(groups: Sequence[Sequence[Device]], free: Sequence[Device], wanted: int) -> list[Device]:
    """From as few groups as possible: whole ones, the largest first, then what is missing where the least is left over."""
    found: list[Device] = []
    left = sorted(groups, key=len, reverse=True)
    while left and len(found) < wanted:
        missing = wanted - len(found)
        enough = [group for group in left if len(group) >= missing]
        group = min(enough, key=len) if enough else left[0]
        found += group[:missing]
        left = [other for other in left if other is not group]
    alone = [device for device in free if device not in found]
    return [*found, *alone[: wanted - len(found)]]


def _groups(devices: Sequence[Device], what: str) -> list[list[Device]]:
    """Those that are near each other, in the devices' order."""
    of, groups = NEARNESS[what], dict[Hashable, list[Device]]()
    for device in devices:
        if (value := of(device)) is not None:
            groups.setdefault(value, []).append(device)
    return list(groups.values())


def near(devices: Sequence[Device], what: str) -> bool:
    """Whether all of these are near each other (``nvlink`` or ``numa``)."""
    values = {NEARNESS[what](device) for device in devices}
    return len(devices) == 1 or (len(values) == 1 and None not in values)


def most(devices: Sequence[Device], what: str) -> int:
    """Return the size of the largest group of these that are near each other."""
    return max(map(len, _groups(devices, what)), default=min(1, len(devices)))
