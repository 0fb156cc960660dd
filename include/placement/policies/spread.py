"""The emptiest node: load, heat and the harm of a lost node are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet, Footprint
from include.placement.policies.candidates import best_of, candidates
from include.placement.policies.policy import Timeless
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


class Spread(Timeless):
    """Most of the node's GPU left free, as a part of what it has; a share goes to the emptiest GPU."""

    name = "Spread"

    def __init__(self) -> None:
        self.version = 0

    def attach(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def see(self, request: Workload) -> None:
        pass

    def changed(self, row: int) -> None:
        pass

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        import numpy as np

        fleet = self._fleet
        left = fleet.free[rows].sum(axis=1) - ask.devices * ask.milli[rows]
        scores = left / (1000.0 * np.maximum(fleet.devices[rows], 1))
        if not ask.request.shared:
            return scores, np.full(len(rows), -1)
        at, device = candidates(fleet, ask, rows)
        _, chosen = best_of(rows, fleet.free.shape[1], at, device, fleet.free[rows[at], device])
        return scores, chosen
