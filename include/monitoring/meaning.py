"""Whether texts mean something else than held-out ones, by their vectors, and whether a judge marks answers otherwise. Pure.

Both are one test of two samples: the maximum mean discrepancy with a Gaussian kernel as wide as the median distance (Gretton and others,
JMLR 13, 2012), its p-value by permutation, which holds for any number of rows. A difference is a change, and no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MOST = 300
"""Rows of either side that are compared: each is a text that somebody must look at."""
FEWEST = 20
PERMUTATIONS = 1_999
QUESTIONS, ANSWERS, MARKS = "the meaning of questions", "the meaning of answers", "the judge's marks"
"""What is compared, as it stands among the columns of a look."""


@dataclass(frozen=True)
class Beside:
    """What a look was told besides the columns: further ``p_values`` by name, and sentences on what is ``unknown``."""

    p_values: dict[str, float] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def __add__(self, other: Beside) -> Beside:
        return Beside(self.p_values | other.p_values, self.unknown + other.unknown)


def drawn(ids: Iterable[str], most: int = MOST) -> list[int]:
    """Return the places of at most ``most`` ids, drawn by their hashes: by chance, and the same ones whenever they are drawn."""
    hashes = sorted((hashlib.sha256(str(one).encode()).digest(), place) for place, one in enumerate(ids))
    return sorted(place for _, place in hashes[:most])


def p_value(ours: Floats, theirs: Floats) -> float:
    """Return how likely a difference as large as that of the two samples [rows, dimensions] is by chance; 1 where all rows are alike."""
    import numpy as np

    both = np.concatenate([ours, theirs])
    squares = (both**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * both @ both.T, 0.0)
    apart = distances[distances > 1e-12]
    if not len(apart):
        return 1.0
    kernel = np.exp(-distances / np.median(apart))
    signs = np.concatenate([np.full(len(ours), 1 / len(ours)), np.full(len(theirs), -1 / len(theirs))])
    orders = np.random.default_rng(0).permuted(np.broadcast_to(signs, (PERMUTATIONS, len(signs))), axis=1)
    by_chance = ((orders @ kernel) * orders).sum(axis=1)
    found = float(signs @ kernel @ signs)
    return float(1 + (by_chance >= found - 1e-12).sum()) / (PERMUTATIONS + 1)


def marks_p_value(held_out: Sequence[int], live: Sequence[int]) -> float:
    """Return the same of marks, by how many answers have got each (``held_out``, ``live``: counts by place on the scale)."""
    import numpy as np

    each = np.eye(len(held_out))
    return p_value(*(np.repeat(each, np.array(counts), axis=0) for counts in (held_out, live)))
