"""How much GPU the tasks to come will still fill, and the CPU and memory that they will want for it.

A short sequence of arrivals is drawn from the workload seen so far; each takes its share if it still fits. The expectation has an exact
recursion: with T the arrivals left, p the chance of each task, g what it takes of a GPU,

    fill(T, r) = sum over tasks with g <= r of p (g + fill(T-1, r-g)) + (chance of any other task) fill(T-1, r)

The same recursion carries the tasks' CPU and memory. GPUs that are partly used are valued one by one (``part``); those fully free
together (``whole``), since tasks of several GPUs need them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.placement.fleet import Fleet
from include.placement.mix import Mix
from include.placement.node import FULL

if TYPE_CHECKING:
    from include.placement.fleet import Array

ARRIVALS = 24
"""Arrivals looked ahead. An 8-GPU node takes about ten tasks, and twice that were tried in vain; results are flat from 12 to 50."""


@dataclass(frozen=True)
class Tables:
    """``part`` [kinds x 1001, 3] by kind of GPU and free share: GPU milli, CPU milli-cores and memory MiB expected; 0 for a whole GPU.
    ``whole`` [kinds x (D+1), 3] by kind and number of fully free GPUs."""

    part: Array
    whole: Array


Demand = dict[int, tuple[float, float, float]]
"""By milli (of a share) or number (of whole GPUs): chance, CPU and memory, the two weighted with the chance."""


def expected_fill(mix: Mix, fleet: Fleet) -> Tables:
    """Tables for every kind of GPU in the fleet; kinds that meet the same demand share theirs."""
    import numpy as np

    width = fleet.free.shape[1]
    known: dict[str, tuple[Array, Array]] = {}
    parts, wholes = [], []
    for kind in range(len(fleet.kinds)):
        shares, counts = _demand(mix, fleet, kind)
        key = repr((sorted(shares.items()), sorted(counts.items())))
        if key not in known:
            part = _part(shares)
            known[key] = part.T, _whole(shares, counts, part, width)
        parts.append(known[key][0])
        wholes.append(known[key][1])
    return Tables(np.concatenate(parts), np.concatenate(wholes))


def _demand(mix: Mix, fleet: Fleet, kind: int) -> tuple[Demand, Demand]:
    """Shares by milli and whole requests by number that this kind may meet. Chances are of all tasks that want a GPU of any kind."""
    model, memory = fleet.kinds[kind]
    shares: Demand = {}
    counts: Demand = {}
    wanting = sum(count for request, count in mix.counts.items() if request.devices)
    for request, count in mix.counts.items():
        milli = request.milli_on(memory)
        if not request.devices or not request.allows(model) or milli > FULL:
            continue
        chance = count / wanting
        demand, size = (shares, milli) if request.shared and milli < FULL else (counts, request.devices)
        known = demand.get(size, (0.0, 0.0, 0.0))
        demand[size] = (known[0] + chance, known[1] + chance * request.cpu_milli, known[2] + chance * request.memory_mib)
    return shares, counts


def _part(shares: Demand) -> Array:
    """[3, 1001]: what a partly used GPU is expected to take, by its free share."""
    import numpy as np

    fill = np.zeros((3, FULL + 1))
    steps = [(milli, chance, np.array([[chance * milli], [cpu], [memory]])) for milli, (chance, cpu, memory) in shares.items()]
    missed = np.ones(FULL + 1)
    gain = np.zeros((3, FULL + 1))
    for milli, chance, amount in steps:
        missed[milli:] -= chance
        gain[:, milli:] += amount
    for _ in range(ARRIVALS):
        after = missed * fill + gain
        for milli, chance, _amount in steps:
            after[:, milli:] += chance * fill[:, : FULL + 1 - milli]
        fill = after
    fill[:, FULL] = 0
    return fill


def _whole(shares: Demand, counts: Demand, part: Array, width: int) -> Array:
    """[width+1, 3]: what that many fully free GPUs of one node are expected to take together."""
    import numpy as np

    opening = sum(chance for chance, _, _ in shares.values())
    opened = np.zeros(3)
    for milli, (chance, cpu, memory) in shares.items():
        opened += [chance * milli, cpu, memory]
        opened += chance * part[:, FULL - milli]
    fill = np.zeros((width + 1, 3))
    for _ in range(ARRIVALS):
        after = np.zeros_like(fill)
        for free in range(1, width + 1):
            missed = 1 - opening - sum(chance for number, (chance, _, _) in counts.items() if number <= free)
            after[free] = opened + opening * fill[free - 1] + missed * fill[free]
            for number, (chance, cpu, memory) in counts.items():
                if number <= free:
                    after[free] += np.array([chance * FULL * number, cpu, memory]) + chance * fill[free - number]
        fill = after
    return fill
