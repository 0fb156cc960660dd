"""The node with the least left over, CPU and GPU weighted alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet, Footprint
from include.placement.policies.candidates import best_of, candidates
from include.placement.policies.policy import Timeless
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


class BestFit(Timeless):
    """What is left on a node, each resource as a part of the largest node's, averaged; a share goes to the fullest GPU that it fits."""

    name = "BestFit"

    def __init__(self) -> None:
        self.version = 0

    def attach(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._most_cpu = max((node.cpu_milli for node in fleet.nodes), default=0) or 1
        self._most_gpu = 1000 * fleet.free.shape[1]

    def see(self, request: Workload) -> None:
        pass

    def changed(self, row: int) -> None:
        pass

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        import numpy as np

        fleet = self._fleet
        cpu = (fleet.cpu[rows] - ask.request.cpu_milli) / self._most_cpu
        gpu = (fleet.free[rows].sum(axis=1) - ask.devices * ask.milli[rows]) / self._most_gpu
        scores = np.floor(100 * (1 - (cpu + gpu) / 2) + 1e-9)
        if not ask.request.shared:
            return scores, np.full(len(rows), -1)
        at, device = candidates(fleet, ask, rows)
        _, chosen = best_of(rows, fleet.free.shape[1], at, device, -fleet.free[rows[at], device])
        return scores, chosen
