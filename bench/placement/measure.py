"""One run: a policy places one seed's arrivals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.placement.trace import arrivals, demand_milli
from include.placement.mix import Mix
from include.placement.node import FULL, Node
from include.placement.placer import Placer
from include.placement.policies import FGD, BestFit, Policy, Random, Updraft
from include.placement.workload import Workload

POLICIES: dict[str, Callable[[Sequence[Workload], int], Policy]] = {
    "Random": lambda pods, seed: Random(seed),
    "BestFit": lambda pods, seed: BestFit(),
    "FGD": lambda pods, seed: FGD(Mix(pods)),
    "Updraft": lambda pods, seed: Updraft(),
}
"""FGD is given the list beforehand, as published; Updraft learns as requests come."""


@dataclass(frozen=True)
class Run:
    """``allocation_pct`` of all GPU at the end; ``requests`` handled in ``seconds`` of CPU time, of which ``placed``."""

    allocation_pct: float
    requests: int
    placed: int
    seconds: float


def run(policy: str, nodes: Sequence[Node], pods: Sequence[Workload], seed: int) -> Run:
    """The clock runs from an empty cluster (before anything is set up or learned) to the last arrival."""
    capacity = FULL * sum(len(node.devices) for node in nodes)
    coming = arrivals(pods, capacity, seed)
    started = time.process_time()
    placer = Placer(nodes, POLICIES[policy](pods, seed))
    allocated = placed = 0
    for request in coming:
        if placer.place(request, explain=False).grant is not None:
            allocated += demand_milli(request)
            placed += 1
    return Run(100 * allocated / capacity, len(coming), placed, time.process_time() - started)
