"""What is better where it can be had: a gang's nodes of one rack, a node's GPUs near each other. Nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.placement.workload import Workload
from include.pool import topology
from include.pool.ask import Ask
from include.pool.state import Grant

if TYPE_CHECKING:
    from include.pool.space import Space, Spot


def values(space: Space, request: Workload, ask: Ask, blocked: frozenset[Spot]) -> list[str]:
    """Return those of the label that the nodes of a gang preferably share, of which enough nodes have room: the fewest such nodes first, so
    that larger gangs find theirs."""
    if not ask.same:
        return []
    nodes: dict[str, set[str]] = {}
    for part in space.parts_for(request):
        value = space.labels(part.node).get(ask.same)
        if value is not None and len(space.whole(part, blocked)) >= request.gpus:
            nodes.setdefault(value, set()).add(part.node)
    return sorted((value for value, some in nodes.items() if len(some) >= ask.nodes), key=lambda value: (len(nodes[value]), value))


def apart(space: Space, ask: Ask, blocked: frozenset[Spot]) -> frozenset[Spot]:
    """Return the devices of nodes whose free ones are too few near each other for what the ask prefers; none if it prefers nothing."""
    if not ask.within:
        return frozenset()
    parts = {part.name: part for request in space.alternatives(ask) for part in space.parts_for(request)}.values()
    lacking = [part for part in parts if topology.most(space.whole(part, blocked), ask.within) < ask.gpus]
    return frozenset((part.node, device.uuid) for part in lacking for device in part.devices)


def unmet(space: Space, ask: Ask, grants: Iterable[Grant]) -> str:
    """Say what the ask prefers and has not been given; "" if it has all, or prefers nothing."""
    return " ".join(filter(None, (_not_same(space, ask, grants), _not_within(space, ask, grants))))


def _not_same(space: Space, ask: Ask, grants: Iterable[Grant]) -> str:
    if not ask.same:
        return ""
    found = {space.labels(grant.node).get(ask.same) for grant in grants}
    if len(found) == 1 and None not in found:
        return ""
    there = ", ".join(sorted(value or "none" for value in found))
    return f"Its nodes don't share one {ask.same}, as it prefers: no one had room for all of it (they are of {there})."


def _not_within(space: Space, ask: Ask, grants: Iterable[Grant]) -> str:
    if not ask.within:
        return ""
    scattered = []
    for grant in grants:
        devices = [device for device in space.node(grant.node).devices if device.uuid in grant.uuids]
        scattered += [] if topology.near(devices, ask.within) else [grant.node]
    return f"Its GPUs of {', '.join(sorted(scattered))} are not {topology.NAMES[ask.within]}, as it prefers." if scattered else ""
