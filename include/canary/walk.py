"""The group-sequential boundary, computed as the trial goes.

A cumulative statistic walks; at every look the part of its null distribution that lies beyond the boundary is cut off, and the boundary is
put where the part cut off so far equals the alpha spent so far. That is the recursive integration of Armitage, McPherson and Rowe (1969)
with the spending of Lan and DeMets (1983), done on the statistic's own lattice: small counts are treated exactly, which no normal boundary
does. What the lattice leaves unspent at one look is available at the next.

Every array has a leading axis of trials, as in :mod:`include.canary.increments`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.canary.increments import Increment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

REACH_SD = 8.0
"""The lattice covers this many standard deviations on either side; what lies beyond is below 1e-14."""
REACH_CELLS = 24
"""... and this many cells more, for counts too small to be anywhere near normal."""
FINEST_SD = 32.0
"""A standard deviation is at most this many cells wide: beyond, the cells double and the walk counts as normal."""
NORMAL_CELLS = 4.0
"""Cells in the standard deviation of a normal walk's first increment."""
_WIDTH_STEP = 32


@dataclass(frozen=True)
class Walk:
    """``mass`` [trials, cells] is the null distribution that has crossed no boundary; cell i stands at ``origin + i * cell``.

    ``mean`` and ``var`` are the statistic's null moments, ``spent`` the alpha used up, ``boundary`` the value at which the latest look
    crosses (infinite while there is nothing to spend on). ``exact`` trials are on the integers; elsewhere a cell stands for a range.
    """

    mass: Floats
    origin: Floats
    cell: Floats
    exact: Floats
    mean: Floats
    var: Floats
    spent: Floats
    boundary: Floats

    @classmethod
    def start(cls, trials: int = 1) -> Walk:
        import numpy as np

        zeros = np.zeros(trials)
        return cls(np.ones((trials, 1)), zeros, np.ones(trials), np.ones(trials, bool), zeros, zeros, zeros, np.full(trials, np.inf))

    def advance(self, increment: Increment, spend: Floats) -> Walk:
        """One look on: ``spend`` [trials] is the alpha that may have been used by now in all."""
        walk = _fit_cells(self, increment)
        walk = _recentre(_convolve(walk, increment))
        return _cut(walk, spend)

    def take(self, keep: Floats) -> Walk:
        """The trials that ``keep`` selects."""
        return Walk(**{name: value[keep] for name, value in vars(self).items()})

    def to_json(self) -> dict[str, Any]:
        return {name: value[0].tolist() for name, value in vars(self).items()} | {"boundary": _finite(float(self.boundary[0]))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Walk:
        import numpy as np

        bare = {**data, "boundary": np.inf if data["boundary"] is None else data["boundary"]}
        return cls(**{name: np.array([value]) for name, value in bare.items()})


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _fit_cells(walk: Walk, increment: Increment) -> Walk:
    """Double the cells of trials that have grown too wide; give a normal walk its cells at its first increment."""
    import numpy as np

    exact = walk.exact & (increment.exact | (increment.var <= 0))
    ahead = np.sqrt(walk.var + increment.var)
    fresh = ~exact & (walk.var <= 0) & (increment.var > 0)
    cell = np.where(fresh, ahead / NORMAL_CELLS, walk.cell)
    # All mass of a fresh walk is in the one cell at its mean, which must not move when the cells change size.
    origin = np.where(fresh, walk.mean - (walk.mean - walk.origin) / walk.cell * cell, walk.origin)
    walk = replace(walk, cell=cell, origin=origin, exact=exact)
    while (wide := ahead / walk.cell > FINEST_SD).any():
        walk = _double(walk, wide)
    return walk


def _double(walk: Walk, rows: Floats) -> Walk:
    """Cells twice as wide for ``rows``; the odd cells' mass is split between their neighbours, which keeps the mean."""
    import numpy as np

    old = walk.mass[rows]
    old = np.pad(old, ((0, 0), (0, old.shape[1] % 2)))
    odd = old[:, 1::2] / 2
    half = np.pad(old[:, 0::2], ((0, 0), (0, 1)))
    half[:, :-1] += odd
    half[:, 1:] += odd
    mass = np.zeros((len(walk.mass), max(walk.mass.shape[1], half.shape[1])))
    mass[:, : walk.mass.shape[1]] = walk.mass
    mass[rows] = 0
    mass[rows, : half.shape[1]] = half
    return replace(walk, mass=mass, cell=np.where(rows, 2 * walk.cell, walk.cell), exact=walk.exact & ~rows)


def _convolve(walk: Walk, increment: Increment) -> Walk:
    """Add the increment: its own pmf on the integers, a normal one with the right variance elsewhere."""
    import numpy as np

    law, offset = increment.pmf, np.zeros(len(walk.mass))
    if law is None:
        law = np.ones((len(walk.mass), 1))
    if not walk.exact.all():
        law, offset = _with_normal(walk, increment, law)
    width = walk.mass.shape[1]
    out = np.zeros((len(walk.mass), width + law.shape[1] - 1))
    if len(out) == 1:
        out[0] = np.convolve(walk.mass[0], law[0])
    else:
        for shift in range(law.shape[1]):
            out[:, shift : shift + width] += walk.mass * law[:, shift : shift + 1]
    return replace(walk, mass=out, origin=walk.origin + offset, mean=walk.mean + increment.mean, var=walk.var + increment.var)


def _with_normal(walk: Walk, increment: Increment, law: Floats) -> tuple[Floats, Floats]:
    """``law`` with the rows of normal trials replaced, and by how much each row's first cell moves."""
    import numpy as np

    sd = np.where(walk.exact, 0.0, np.sqrt(increment.var) / walk.cell)
    reach = int(np.ceil(REACH_SD * sd.max())) + 1
    j = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (j / np.maximum(sd, 0.5)[:, None]) ** 2)
    bell /= bell.sum(axis=1, keepdims=True)
    # A lattice bell narrower than 0.6 cells has the wrong variance; three points have exactly the right one.
    three = np.where(np.abs(j) == 1, sd[:, None] ** 2 / 2, np.where(j == 0, 1 - sd[:, None] ** 2, 0.0))
    bell = np.where(sd[:, None] < 0.6, three, bell)
    both = np.zeros((len(law), max(law.shape[1], bell.shape[1])))
    both[:, : law.shape[1]] = law
    both[~walk.exact] = 0
    both[~walk.exact, : bell.shape[1]] = bell[~walk.exact]
    return both, np.where(walk.exact, 0.0, increment.mean - reach * walk.cell)


def _recentre(walk: Walk) -> Walk:
    """Keep the cells around the mean that can hold mass, and no others."""
    import numpy as np

    half = np.ceil(REACH_SD * np.sqrt(walk.var) / walk.cell) + REACH_CELLS
    width = -(-int(2 * half.max() + 1) // _WIDTH_STEP) * _WIDTH_STEP
    first = np.round((walk.mean - walk.origin) / walk.cell).astype(int) - width // 2
    index = first[:, None] + np.arange(width)
    inside = (index >= 0) & (index < walk.mass.shape[1])
    mass = np.where(inside, np.take_along_axis(walk.mass, np.clip(index, 0, walk.mass.shape[1] - 1), axis=1), 0.0)
    return replace(walk, mass=mass, origin=walk.origin + first * walk.cell)


def _cut(walk: Walk, spend: Floats) -> Walk:
    """Put the boundary where the mass beyond it is what may still be spent, and cut that mass off."""
    import numpy as np

    allowance = np.maximum(spend - walk.spent, 0)
    cells = walk.mass.shape[1]
    tail = np.cumsum(walk.mass[:, ::-1], axis=1)[:, ::-1]
    index = np.argmax(np.pad(tail, ((0, 0), (0, 1))) <= allowance[:, None], axis=1)
    rows = np.arange(len(walk.mass))
    beyond = np.where(index < cells, tail[rows, np.minimum(index, cells - 1)], 0.0)
    # A normal walk's cell stands for a range of values: take the part of it that the allowance still pays for.
    partial = ~walk.exact & (index > 0) & (allowance > 0)
    under = np.maximum(index - 1, 0)
    part = np.where(partial, (allowance - beyond) / np.maximum(walk.mass[rows, under], 1e-300), 0.0)
    mass = np.where(np.arange(cells) >= index[:, None], 0.0, walk.mass)
    mass[rows, under] *= 1 - np.clip(part, 0, 1)
    boundary = walk.origin + (index - np.where(walk.exact, 0.0, 0.5 + part)) * walk.cell
    idle = (walk.var <= 0) | (allowance <= 0)
    return replace(
        walk,
        mass=np.where(idle[:, None], walk.mass, mass),
        spent=np.where(idle, walk.spent, walk.spent + np.where(partial, allowance, beyond)),
        boundary=np.where(idle, np.inf, boundary),
    )
