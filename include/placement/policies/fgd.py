"""Fragmentation gradient descent: the place where the least GPU becomes useless to one more typical task.

Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC'23.
A node's fragmentation is the expectation over typical tasks of the free GPU that the task couldn't use there: all of it if the task
doesn't fit the node, else what lies on GPUs too full for it. CPU-only tasks use none. The score is int(100 sigmoid(its fall in GPUs)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet, Footprint
from include.placement.mix import Mix
from include.placement.node import FULL
from include.placement.policies.candidates import best_of, candidates
from include.placement.policies.policy import Timeless
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array


class FGD(Timeless):
    """``mix`` is the workload to expect, known beforehand as in the paper.

    Typical tasks that differ in CPU alone form one group, of G. For each kind of GPU and free share, tables hold what one such GPU
    adds to a node's count of GPUs large enough and to its free share on GPUs too small, so that a node is a sum over its GPUs.
    """

    name = "FGD"

    def __init__(self, mix: Mix) -> None:
        self.version = 0
        self._mix = mix

    def attach(self, fleet: Fleet) -> None:
        import numpy as np

        self._fleet = fleet
        groups: dict[Workload, list[tuple[int, float]]] = {}
        for task, part in self._mix.typical():
            if task.devices:
                demand = Workload(task.gpus, task.milli, task.gpu_memory_mib, task.models)
                groups.setdefault(demand, []).append((task.cpu_milli, part))
        asks = [fleet.ask(demand) for demand in groups]
        self._needed = np.array([ask.devices for ask in asks])
        milli = np.array([ask.milli_of_kind for ask in asks]).reshape(len(asks), len(fleet.kinds)).T[:, None, :]
        free = np.arange(FULL + 1)[None, :, None]
        self._enough = (free >= milli).astype(np.float64).reshape(len(fleet.kinds) * (FULL + 1), len(asks))
        self._small = np.where(free < milli, free, 0).astype(np.float64).reshape(len(fleet.kinds) * (FULL + 1), len(asks))
        self._cpus = np.array(sorted({cpu for tasks in groups.values() for cpu, _ in tasks}), dtype=np.int64)
        share = np.array([[sum(part for cpu, part in tasks if cpu <= most) for tasks in groups.values()] for most in [-1, *self._cpus]])
        allowed = np.array([ask.kind_allowed for ask in asks]).reshape(len(asks), len(fleet.kinds)).T
        self._share = (share.reshape(len(self._cpus) + 1, 1, len(asks)) * allowed[None]).reshape(
            (len(self._cpus) + 1) * len(fleet.kinds), len(asks)
        )
        self._held = np.zeros(len(fleet.nodes))
        self._sums_enough = np.zeros((len(fleet.nodes), len(asks)))
        self._sums_small = np.zeros((len(fleet.nodes), len(asks)))
        for row in range(len(fleet.nodes)):
            self.changed(row)

    def see(self, request: Workload) -> None:
        pass

    def changed(self, row: int) -> None:
        fleet = self._fleet
        cells = fleet.kind[row] * (FULL + 1) + fleet.free[row]
        self._sums_enough[row], self._sums_small[row] = self._enough[cells].sum(axis=0), self._small[cells].sum(axis=0)
        one = fleet.all_rows[row : row + 1]
        total = fleet.free[row].sum(keepdims=True)
        self._held[row] = self._fragmentation(one, fleet.cpu[one], total, self._sums_enough[one], self._sums_small[one])[0]

    def _fragmentation(self, rows: Array, cpu: Array, total: Array, enough: Array, small: Array) -> Array:
        """Milli of GPU [S] in states of nodes ``rows`` [S] with that much CPU and free GPU, and those sums [S, G]."""
        kinds = len(self._fleet.kinds)
        share = self._share[self._cpus.searchsorted(cpu, side="right") * kinds + self._fleet.kind[rows]]
        share = share * (enough >= self._needed)
        useless: Array = total * (1 - share.sum(axis=1)) + (share * small).sum(axis=1)
        return useless

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        import numpy as np

        fleet = self._fleet
        cpu, total = fleet.cpu[rows] - ask.request.cpu_milli, fleet.free[rows].sum(axis=1) - ask.devices * ask.milli[rows]
        enough, small = self._sums_enough[rows], self._sums_small[rows]
        base = fleet.kind[rows] * (FULL + 1)
        if not ask.request.shared:
            if ask.devices:
                enough = enough - ask.devices * (self._enough[base + FULL] - self._enough[base])
            return self._scored(rows, self._fragmentation(rows, cpu, total, enough, small)), np.full(len(rows), -1)
        at, device = candidates(fleet, ask, rows)
        old = base[at] + fleet.free[rows[at], device]
        new = old - ask.milli[rows[at]]
        enough = enough[at] + self._enough[new] - self._enough[old]
        small = small[at] + self._small[new] - self._small[old]
        scores = self._scored(rows[at], self._fragmentation(rows[at], cpu[at], total[at], enough, small))
        return best_of(rows, fleet.free.shape[1], at, device, scores)

    def _scored(self, rows: Array, after: Array) -> Array:
        import numpy as np

        scores: Array = np.floor(100 / (1 + np.exp((after - self._held[rows]) / FULL)) + 1e-9)
        return scores
