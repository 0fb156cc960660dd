"""Updraft's own: the place where the GPU that can be expected to be filled, now and later, falls least.

See docs/decisions/0003-placement.md and 0043-places-over-time.md."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from include.placement.expected_fill import Tables, expected_fill
from include.placement.fleet import Fleet, Footprint
from include.placement.later import Views
from include.placement.mix import Mix
from include.placement.node import FULL
from include.placement.policies.candidates import best_of, candidates
from include.placement.stays import Stay, Stays
from include.placement.workload import Workload

if TYPE_CHECKING:
    from include.placement.fleet import Array

GROWTH = 1.5
"""What was learned about the workload is renewed when this many times as many requests have been seen."""
OPENNESS = 0.5
"""By how much space on partly used GPUs is valued over its expected fill while there is none of it: shares then open new GPUs instead of
being paired badly, and those to come find a GPU that suits them even when no whole one is left."""
OPEN_SPACE = 0.02
"""The part of the fleet's GPU that may lie open on partly used GPUs; as it is reached, the overvaluation goes to nothing. Above about
0.04 too much of it stays open for good; 0.01 to 0.03 are alike."""
LOOK_EVERY = 250
"""Requests between two looks at how much lies open."""
MEMORY = 0.999
"""What was taken, and what came back, counts by so much less with every further one: a thousand or so are looked back on."""
NOTABLE = 0.1
"""A change of the overvaluation smaller than this is not worth scoring every node anew."""


class Updraft:
    """Learns the workload from the requests as they come; needs to be told nothing. ``mix`` may hold what is known beforehand.

    A node's value is the GPU that its free GPUs are expected to take (:mod:`include.placement.expected_fill`), cut down to the part for
    which the node has CPU and memory: fill x min(1, CPU free / CPU the fill wants, likewise memory). The score is value after - before, in
    the mean over now and, once enough work has been seen to end, some later times (:mod:`include.placement.later`).
    """

    name = "Updraft"

    def __init__(self, mix: Mix | None = None) -> None:
        self.version = 0
        self._mix = mix or Mix()
        self.renewed_at = 0
        self._renew_at = 1.0
        self.openness = 0.0
        self._taken = self._returned = 0.0
        self._tables: Tables | None = None
        self.stays = Stays()

    def attach(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._free = fleet.free.sum(axis=1)
        self.stays.forget()
        self._views = Views(fleet, self.stays)
        self._renew()

    def at(self, now: float) -> None:
        """It is that time, in seconds."""
        if self._views.due(now):
            self._views.renew(now)
            self._value_all()

    def begun(self, key: Hashable, stay: Stay, now: float) -> None:
        self.stays.begun(key, stay, now)

    def over(self, key: Hashable, now: float, *, by_itself: bool = True) -> None:
        self.stays.over(key, now, by_itself=by_itself)

    def recall(self, kind: Hashable, seconds: float, *, by_itself: bool) -> None:
        self.stays.lengths.ended(kind, seconds, by_itself=by_itself)

    def see(self, request: Workload) -> None:
        self._mix.see(request)
        if self._mix.total >= self._renew_at:
            self._renew()
        elif self._mix.total % LOOK_EVERY == 0 and abs(self._target() - self.openness) > NOTABLE:
            self.openness = self._target()
            self._value_all()

    def _renew(self) -> None:
        self.renewed_at = self._mix.total
        self._renew_at = max(GROWTH * self._mix.total, 1.0)
        self._tables = expected_fill(self._mix, self._fleet)
        self.openness = self._target()
        self._value_all()

    def _target(self) -> float:
        """The overvaluation that suits what lies open now: on GPUs with room for an ordinary share (0.6 of the mean, at most 300 milli).

        It pays only where what is taken stays: where work also leaves, whole GPUs come free for those who need them, and shares that are
        spread over GPUs keep these from coming free.
        """
        free = self._fleet.free
        shares = [(request.milli, count) for request, count in self._mix.counts.items() if request.milli]
        mean = sum(milli * count for milli, count in shares) / sum(count for _, count in shares) if shares else FULL
        room = 0.6 * min(mean, FULL / 2)
        lying = int(free[(free < FULL) & (free >= room)].sum())
        stays = max(0.0, 1 - self._returned / self._taken) if self._taken else 1.0
        return stays * OPENNESS * max(0.0, 1 - lying / (OPEN_SPACE * max(self._fleet.capacity_milli, 1)))

    def _value_all(self) -> None:
        import numpy as np

        fleet, tables = self._fleet, self._tables
        assert tables is not None
        self.version += 1
        self._part = tables.part * np.array([1 + self.openness, 1, 1])
        self._whole, self._numbers = tables.whole, fleet.free.shape[1] + 1
        views = self._views
        self._sums = self._part[fleet.kind[:, None] * (FULL + 1) + views.free].sum(axis=2)
        self._held = self._value(fleet.all_rows, self._sums, views.full, views.cpu, views.memory)

    def changed(self, row: int) -> None:
        fleet, views = self._fleet, self._views
        free = fleet.free[row].sum()
        if free < self._free[row]:
            self._taken = MEMORY * self._taken + (self._free[row] - free)
        elif free > self._free[row]:
            self._returned = MEMORY * self._returned + (free - self._free[row])
        self._free[row] = free
        views.follow(row)
        one = fleet.all_rows[row : row + 1]
        self._sums[:, row] = self._part[fleet.kind[row] * (FULL + 1) + views.free[:, row]].sum(axis=1)
        self._held[:, one] = self._value(one, self._sums[:, one], views.full[:, one], views.cpu[:, one], views.memory[:, one])

    def _value(self, rows: Array, sums: Array, full: Array, cpu: Array, memory: Array) -> Array:
        """Milli of GPU [V, S] expected to be filled, of nodes ``rows`` [S] with those sums over partly used GPUs [V, S, 3] and free
        resources [V, S], in V views."""
        import numpy as np

        wanted = sums + self._whole[self._fleet.kind[rows] * self._numbers + full]
        held = np.minimum(cpu / (wanted[..., 1] + 1), memory / (wanted[..., 2] + 1))
        value: Array = wanted[..., 0] * np.minimum(held, 1)
        return value

    def score(self, ask: Footprint, rows: Array) -> tuple[Array, Array]:
        import numpy as np

        fleet, views = self._fleet, self._views
        cpu, memory = views.cpu[:, rows] - ask.request.cpu_milli, views.memory[:, rows] - ask.request.memory_mib
        if not ask.request.shared:
            after = self._value(rows, self._sums[:, rows], views.full[:, rows] - ask.devices, cpu, memory)
            return (after - self._held[:, rows]).mean(axis=0), np.full(len(rows), -1)
        at, device = candidates(fleet, ask, rows)
        there = rows[at]
        free = views.free[:, there, device]
        old = fleet.kind[there] * (FULL + 1) + free
        sums = self._sums[:, there] + self._part[old - ask.milli[there]] - self._part[old]
        after = self._value(there, sums, views.full[:, there] - (free == FULL), cpu[:, at], memory[:, at])
        return best_of(rows, fleet.free.shape[1], at, device, (after - self._held[:, there]).mean(axis=0))
