"""One life of a pool under one way of choosing: rounds of labels, and how well the model reads the held-out rows after each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.labels.pools import Pool, fitted
from include.labels.choose import Candidate, choose
from include.spec.label import Strategy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Classes = npt.NDArray[np.int64]
Chooser = Callable[[Pool, Any, list[int], str], Sequence[int]]
"""A pool, the model, the rows that have no label yet, what chance is drawn from → the rows to ask about."""
CONTROL = 0.25


def ours(pool: Pool, model: Any, rest: list[int], seed: str) -> Sequence[int]:
    """As a round of the platform chooses: a quarter at random, the others those that the model is least sure of."""
    shares = model.predict_proba(pool.x[rest])
    candidates = [Candidate(f"{row:06}", {}, {1: 0}, tuple(map(float, share))) for row, share in zip(rest, shares, strict=True)]
    return [int(one.candidate.key) for one in choose(candidates, pool.tasks, [Strategy.UNCERTAIN], CONTROL, seed)]


def at_random(pool: Pool, model: Any, rest: list[int], seed: str) -> Sequence[int]:
    """Draw."""
    return random.Random(seed).sample(rest, min(pool.tasks, len(rest)))


def life(pool: Pool, classifier: str, chooser: Chooser, seed: int) -> list[float]:
    """Return the accuracy on the held-out rows after the first rows and after each round. What has a label at first is the same for all
    ways of choosing: rows drawn at random, one of each class at least."""
    rng = random.Random(seed)
    order = rng.sample(range(len(pool.y)), len(pool.y))
    known = [next(row for row in order if pool.y[row] == one) for one in sorted(set(pool.y.tolist()))]
    known += [row for row in order if row not in known][: max(pool.first - len(known), 0)]
    found: list[float] = []
    for number in range(pool.rounds + 1):
        model = fitted(classifier, pool.x[known], pool.y[known])
        found.append(float((model.predict(pool.test_x) == pool.test_y).mean()))
        rest = sorted(set(range(len(pool.y))) - set(known))
        if number < pool.rounds and rest:
            known += chooser(pool, model, rest, f"{seed}/{number}")
    return found


def saved_pct(mine: Sequence[float], drawn: Sequence[float], first: int, tasks: int) -> float:
    """Return how many labels fewer (percent) come to the accuracy that both have come to in the end, the lower of the two; below 0: how
    many fewer drawing needs. Between rounds in a straight line."""
    level = min(mine[-1], drawn[-1])
    ours, theirs = reached(mine, level, first, tasks), reached(drawn, level, first, tasks)
    return 100 * (theirs - ours) / max(theirs, ours)


def reached(curve: Sequence[float], level: float, first: int, tasks: int) -> float:
    """Return the labels after which the curve's best so far is at ``level``."""
    best = curve[0]
    if best >= level:
        return float(first)
    for number, value in enumerate(curve[1:], 1):
        if value >= level:
            return first + tasks * (number - 1 + (level - best) / (value - best))
        best = max(best, value)
    raise ValueError(f"the curve never comes to {level}")
