"""Which training rows a trial learns from, and by which it is judged. Held-out rows never come here.

Folds are dealt by a hash of what decides a row's side of the train/test split (its content, its group or its key), shuffled by the seed:
rows that belong together share a fold, and each fold has its part of every class. By time, each fold is judged by a model that has seen
only what came before it, the gap left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

INNER = 5
"""One inner split holds back one part of so many."""


@dataclass(frozen=True)
class Fold:
    """Indices of rows, shape (rows,): those that a model learns from, and those that it is judged by."""

    learn: Ints
    judge: Ints


def dealt(units: npt.NDArray[np.uint64], classes: Sequence[Any] | None, folds: int, seed: int) -> list[Fold]:
    """Return the folds of rows whose hashes are ``units``; equal hashes stay together. ``classes``, one a row, are spread evenly.

    ``folds`` of 1 gives one inner split. Every row is judged once otherwise.
    """
    import numpy as np
    import pandas as pd

    parts = INNER if folds == 1 else folds
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    codes = np.zeros(len(units), dtype=np.int64) if classes is None else pd.factorize(pd.Series(list(classes), dtype=object))[0]
    draw = np.random.default_rng(seed).permutation(len(first))
    order = np.lexsort((draw, codes[first]))
    place = np.empty(len(first), dtype=np.int64)
    place[order] = np.arange(len(first)) % parts
    own = place[unit]
    return [Fold(np.flatnonzero(own != part), np.flatnonzero(own == part)) for part in range(1 if folds == 1 else parts)]


def by_time(moments: npt.NDArray[np.float64], folds: int, gap: float) -> list[Fold]:
    """Return folds that go forward in time: each is judged by its part, and learns from all rows before it by ``gap`` or more."""
    import numpy as np

    parts = INNER if folds == 1 else folds + 1
    ordered = np.sort(moments)
    edges = [ordered[min(round(len(ordered) * part / parts), len(ordered) - 1)] for part in range(1, parts)] + [np.inf]
    found = []
    for begin, end in pairwise(edges):
        judge = np.flatnonzero((moments >= begin) & (moments < end))
        found.append(Fold(np.flatnonzero(moments < begin - gap), judge))
    return found[-1:] if folds == 1 else found
