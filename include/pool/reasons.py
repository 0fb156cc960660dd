"""Why a request waits, in sentences for the one who waits."""

from __future__ import annotations

import math
from collections.abc import Iterable

from include.placement.node import FULL
from include.placement.workload import Workload
from include.pool.ask import Ask
from include.pool.space import Part, Space


def behind(number: int, more: bool = False) -> tuple[str, ...]:
    """How many stand before it; ``more``: at least, which changes less often than the number."""
    if more:
        return (f"{number} requests or more stand before it in the queue.",) if number > 1 else ("Others stand before it in the queue.",)
    return (f"{number} request{'s stand' if number > 1 else ' stands'} before it in the queue.",) if number else ()


def used_more(delay_s: float) -> tuple[str, ...]:
    """That its team stands back for others; in steps of ten minutes, which change seldom."""
    minutes = 10 * math.ceil(delay_s / 600)
    if not minutes or delay_s < 60:
        return ()
    return (f"Its team has used more than its share of late: up to {minutes} min of its waiting do not count yet.",)


def no_end(some: bool) -> tuple[str, ...]:
    """What keeps it from a reservation, if ``some`` lease has no end."""
    return ("Leases without end, as far as is known, hold what it needs: nothing is kept free for it beside them.",) if some else ()


def no_room(ask: Ask, space: Space) -> tuple[str, ...]:
    """What it lacks now, and where the most is."""
    if not space.parts:
        return ("No node has reported any GPU yet: start an agent on one (`python -m gpu_pool.agent`).",)
    suiting = [(part, request) for request in space.alternatives(ask) for part in space.parts_for(request)]
    if not suiting:
        return ("No node here has what it asks for any more.",)
    out = sorted({part.node for part, _ in suiting if not any(space.capacity.get(spot, 0) for spot in _spots(part))})
    lacking = [name for name in out if space.node(name).burst is None]  # a node by the hour that is off is not out of service
    reasons = [f"Out of service: {', '.join(lacking[:5])}{' and others' if len(lacking) > 5 else ''}."] if lacking else []
    inside = [(part, request) for part, request in suiting if part.node not in out]
    if inside:
        reasons.append(_most(ask, space, inside))
    return tuple(reasons)


def _most(ask: Ask, space: Space, suiting: Iterable[tuple[Part, Workload]]) -> str:
    if ask.gpus:
        what = f"{ask.mig} instance" if ask.mig else "whole GPU"
        free = [(sum(space.free(spot) == FULL for spot in _spots(part)), part.node) for part, _ in suiting]
        most, node = min(free, key=lambda entry: (-entry[0], entry[1]))
        where = f"each of {ask.nodes} nodes" if ask.nodes > 1 else "one node"
        wanted = f"{ask.gpus} free {what}{'s' if ask.gpus > 1 else ''} on {where}"
        if ask.nodes > 1:
            enough = len({name for count, name in free if count >= ask.gpus})
            return f"It needs {wanted}; {enough} {'nodes have' if enough != 1 else 'node has'} that now."
        return f"It needs {wanted}; the most now is {most}, on {node}."
    free_mib = [(space.free(spot) * part.usable_mib // FULL, space.free(spot), part.node) for part, _ in suiting for spot in _spots(part)]
    mib, milli, node = max(free_mib)
    most_text = f"{mib / 1024:.3g} GiB" if ask.memory_mib else f"{milli / 10:g} %"
    return f"It needs {ask.size()}; the most free on one GPU now is {most_text}, on {node}."


def _spots(part: Part) -> list[tuple[str, str]]:
    return [(part.node, device.uuid) for device in part.devices]
