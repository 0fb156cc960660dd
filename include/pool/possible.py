"""Asks that no node could ever fulfil, and the nearest that one could."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from include.pool import mig, recut
from include.pool.ask import Ask
from include.pool.errors import Impossible
from include.pool.quota import guaranteed, promised_to_others
from include.pool.space import Part, Space
from include.pool.state import Quota


def check(ask: Ask, space: Space, quotas: Mapping[str, Quota], smallest_milli: int) -> None:
    """Raise Impossible for what could not be placed if every device here were idle. With no inventory at all nothing is impossible yet."""
    if space.parts and not _fits(ask, space):
        raise Impossible(_why(ask, space), _nearest(ask, space))
    quota = quotas.get(ask.team)
    if quota is not None and quota.limit is not None and smallest_milli > round(quota.limit * 1000):
        raise Impossible(
            f"team {ask.team} may hold {quota.limit:g} GPUs and this asks for {smallest_milli / 1000:g}.",
            remedy="Ask for less, or have the team's limit raised.",
        )

    promised, own = promised_to_others(quotas, ask.team), guaranteed(quotas, ask.team)
    if space.parts and not ask.preemptible and smallest_milli > own and promised + smallest_milli > space.nominal_milli():
        raise Impossible(
            f"it is not preemptible, and of {space.nominal_milli() / 1000:g} GPUs {promised / 1000:g} are guaranteed to other teams.",
            replace(ask, preemptible=True),
            remedy="Let it be preempted, or ask for less.",
        )


def smallest_milli(ask: Ask, space: Space) -> int:
    """The least that the ask can count against a quota, on any device that suits it (thousandths of GPUs)."""
    if ask.mig:
        return ask.nodes * ask.gpus * (1000 * mig.slices(ask.mig) // mig.SLICES)
    if ask.gpus:
        return ask.nodes * ask.gpus * 1000
    if ask.fraction:
        return round(ask.fraction * 1000)
    return space.once(("smallest", ask.shape), lambda: min(_sizes(ask, space), default=0))


def _sizes(ask: Ask, space: Space) -> Iterator[int]:
    return (request.milli_on(part.usable_mib) for request in space.alternatives(ask) for part in space.parts_for(request))


def _fits(ask: Ask, space: Space) -> bool:
    return space.once(("fits", space.places_alike(ask)), lambda: _looked_through(ask, space))


def _looked_through(ask: Ask, space: Space) -> bool:
    if recut.could(ask, space):
        return True
    for request in space.alternatives(ask):
        wanted = 1 if request.shared else request.gpus
        parts = [part for part in space.parts_for(request) if not _refused(ask, space, part)]
        nodes = {part.node for part in parts if len(part.devices) >= wanted}
        if len(nodes) >= ask.nodes:
            return True
    return False


def _refused(ask: Ask, space: Space, part: Part) -> str:
    """Why it must not run on the part's node, which is taken by the hour; "" if it may, or the node is there for good."""
    burst = space.node(part.node).burst
    return burst.offer.refuses(ask) if burst is not None else ""


def _why(ask: Ask, space: Space) -> str:
    ways = [(request, part) for request in space.alternatives(ask) for part in space.parts_for(request)]
    refusals = [_refused(ask, space, part) for request, part in ways if len(part.devices) >= (1 if request.shared else request.gpus)]
    if refusals and all(refusals):
        return f"only nodes that are taken by the hour have that, and it can't run there: {refusals[0]}."
    parts = list(space.parts.values())
    named = sorted({part.title for part in parts})
    if ask.mig and not any(part.mig == ask.mig for part in parts):
        profiles = sorted({part.mig for part in parts if part.mig})
        return f"no node has MIG profile {ask.mig}; there {'are ' + ', '.join(profiles) if profiles else 'is no MIG instance at all'}."
    if ask.models and not any(part.model in ask.models for part in parts):
        return f"no node has a {' or '.join(ask.models)}; there are {', '.join(named)}."
    if any(ask.labels) and not any(_labelled(space, part, ask) for part in parts):
        return f"no node has the labels {', '.join(f'{key}={value}' for key, value in ask.labels)}."
    if ask.fraction:
        return "no node that suits declares sharing of its GPUs, so none can be asked for in part."
    if ask.memory_mib:
        most = max((part.usable_mib for part in parts if not part.mig), default=0)
        known = f"the largest here has {most / 1024:.4g} GiB" if most else "how much memory those here have isn't known"
        return f"no GPU that suits has {ask.memory_mib / 1024:g} GiB; {known}."
    return f"no {'set of nodes' if ask.nodes > 1 else 'node'} that suits has so many: {ask.size()}."


def _labelled(space: Space, part: Part, ask: Ask) -> bool:
    return all(space.labels(part.node).get(key) == value for key, value in ask.labels)


def _nearest(ask: Ask, space: Space) -> Ask | None:
    """Labels and models are kept if anything is possible with them, else dropped, models first; then as little as possible is given up."""
    for kept in (ask, replace(ask, models=()), replace(ask, models=(), labels=())):
        found = _cut(kept, space)
        if found is not None and _fits(found, space):
            return found
    return None


def _cut(ask: Ask, space: Space) -> Ask | None:
    suiting = [part for part in space.parts.values() if (not ask.models or part.model in ask.models) and _labelled(space, part, ask)]
    if ask.mig:
        same = [part for part in suiting if part.mig == ask.mig] or [part for part in suiting if part.mig]
        return _counted(replace(ask, mig=min(part.mig for part in same)), same) if same else None
    whole = [part for part in suiting if not part.mig]
    if not whole:
        return None
    if ask.memory_mib:
        most = max(part.usable_mib for part in whole)
        return replace(ask, memory_mib=min(ask.memory_mib, most)) if most else replace(ask, memory_mib=0, gpus=1)
    if ask.fraction:
        return ask if any(part.sharing for part in whole) else replace(ask, fraction=0.0, gpus=1)
    return _counted(ask, whole)


def _counted(ask: Ask, parts: list[Part]) -> Ask:
    gpus = min(ask.gpus, max(len(part.devices) for part in parts))
    nodes = len({part.node for part in parts if len(part.devices) >= gpus})
    return replace(ask, gpus=gpus, nodes=min(ask.nodes, nodes))
