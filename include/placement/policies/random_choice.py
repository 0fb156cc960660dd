"""Any node that it fits, any GPU that it fits there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet, Footprint
from include.placement.policies.candidates import best_of, candidates
from include.placement.policies.policy import Timeless
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


class Random(Timeless):
    """The floor that others are measured against. The same seed gives the same choices."""

    name = "Random"

    def __init__(self, seed: int = 0) -> None:
        import numpy as np

        self.version = 0
        self._rng = np.random.default_rng(seed)

    def attach(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def see(self, request: Workload) -> None:
        self.version += 1

    def changed(self, row: int) -> None:
        pass

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        import numpy as np

        scores = self._rng.random(len(rows))
        if not ask.request.shared:
            return scores, np.full(len(rows), -1)
        at, device = candidates(self._fleet, ask, rows, each=True)
        _, chosen = best_of(rows, self._fleet.free.shape[1], at, device, self._rng.random(len(at)))
        return scores, chosen
