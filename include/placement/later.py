"""The fleet as it is, and as it should be a while later: those who are expected to leave by then have left, and nobody else has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet
from include.placement.node import FULL
from include.placement.stays import Stays

if TYPE_CHECKING:
    from include.placement.fleet import Array

PARTS = (0.25, 0.5, 0.75, 0.9, 0.95)
"""The later times are those within which so much of all work has ended (see docs/decisions/0043-places-over-time.md)."""
ENOUGH = 30
"""So much work must have ended before anything is said of later."""
STEPS = 20.0
"""The views are made anew once so small a part of the nearest of these times has passed."""


class Views:
    """V views (the first is the present) of N nodes with D devices at most: ``free`` [V, N, D], ``cpu``, ``memory`` and ``full`` [V, N]."""

    def __init__(self, fleet: Fleet, stays: Stays) -> None:
        self._fleet, self._stays = fleet, stays
        self._afters: tuple[float, ...] = ()
        self._known = 0.0
        self._at = -1e300
        self.renew(0.0)

    def due(self, now: float) -> bool:
        """Return whether so much time has passed, or so much been learned, that they should be made anew."""
        if self._stays.lengths.seen < ENOUGH:
            return False
        return not self._afters or not 0 <= now - self._at < self._afters[0] / STEPS

    def renew(self, now: float) -> None:
        import numpy as np

        fleet, stays = self._fleet, self._stays
        if stays.lengths.seen >= max(ENOUGH, 1.5 * self._known):
            self._known = stays.lengths.seen
            self._afters = tuple(max(1.0, stays.lengths.usual_s(part)) for part in PARTS)
        self._at = now
        views = 1 + len(self._afters)
        self.free: Array = np.repeat(fleet.free[None], views, 0)
        self.cpu: Array = np.repeat(fleet.cpu[None], views, 0)
        self.memory: Array = np.repeat(fleet.memory[None], views, 0)
        if self._afters:
            stays.look(now)
            row, device, milli, ends, there, cpu, memory, leaves = stays.arrays(fleet.row_of)
            for view, after in enumerate(self._afters, start=1):
                gone, left = ends <= now + after, leaves <= now + after
                np.add.at(self.free[view], (row[gone], device[gone]), milli[gone])
                np.add.at(self.cpu[view], there[left], cpu[left])
                np.add.at(self.memory[view], there[left], memory[left])
            np.minimum(self.free, FULL, out=self.free)
        self.full: Array = (self.free == FULL).sum(axis=2)

    def follow(self, row: int) -> None:
        """That node has changed."""
        fleet = self._fleet
        self.free[:, row], self.cpu[:, row], self.memory[:, row] = fleet.free[row], fleet.cpu[row], fleet.memory[row]
        self.full[:, row] = fleet.full[row]
        if not self._afters:
            return
        for stay, ends in self._stays.on(fleet.nodes[row].name):
            for view, after in enumerate(self._afters, start=1):
                if ends <= self._at + after:
                    for device in stay.devices:
                        self.free[view, row, device] = min(FULL, self.free[view, row, device] + stay.milli)
                    self.cpu[view, row] += stay.cpu_milli
                    self.memory[view, row] += stay.memory_mib
        self.full[:, row] = (self.free[:, row] == FULL).sum(axis=1)
