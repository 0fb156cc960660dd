"""Which GPU on each node a share could go to, each distinct choice once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.fleet import Fleet, Footprint
from include.placement.node import FULL

if TYPE_CHECKING:
    from include.placement.fleet import Array


def candidates(fleet: Fleet, ask: Footprint, rows: Array, *, each: bool = False) -> tuple[Array, Array]:
    """Positions in ``rows`` [C] and device indexes [C] where a share fits; of a node's fully free GPUs only the first, unless ``each``."""
    free = fleet.free[rows]
    fits = free >= ask.milli[rows][:, None]
    if not each:
        full = free == FULL
        fits[full & (full.cumsum(axis=1) > 1)] = False
    at, device = fits.nonzero()
    return at, device


def best_of(rows: Array, width: int, at: Array, device: Array, scores: Array) -> tuple[Array, Array]:
    """The best score and its device of each of the rows, from the candidates' scores; the first device among equals."""
    import numpy as np

    table = np.full((len(rows), width), -np.inf)
    table[at, device] = scores
    best = table.argmax(axis=1)
    return table[np.arange(len(rows)), best], best
