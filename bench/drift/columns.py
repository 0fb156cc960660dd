"""What looks at columns alone: Evidently's defaults, by its own functions, and Kolmogorov and Smirnov with Bonferroni."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import kstwobign

from bench.drift.lives import HELD_OUT, Pool

Floats = npt.NDArray[np.float64]
Method = Callable[[Floats, Floats], bool]


def ks_bonferroni(reference: Floats, rows: Floats) -> bool:
    """Whether any column differs at 5 % shared between the columns."""
    n, m, columns = len(reference), len(rows), reference.shape[1]
    scale = np.sqrt(n * m / (n + m))
    for column in range(columns):
        both = np.sort(np.concatenate([reference[:, column], rows[:, column]]))
        ours, theirs = (np.searchsorted(np.sort(part[:, column]), both, side="right") / len(part) for part in (reference, rows))
        if kstwobign.sf(scale * np.abs(ours - theirs).max()) < 0.05 / columns:
            return True
    return False


def evidently_columns(reference: Floats, rows: Floats) -> Floats:
    """Which columns Evidently calls drifted, by the test and the threshold that it chooses itself [columns]."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    found = []
    for column in range(reference.shape[1]):
        ours, theirs = pd.Series(reference[:, column]), pd.Series(rows[:, column])
        test = get_stattest(ours, theirs, ColumnType.Numerical, None)
        found.append(bool(test(ours, theirs, ColumnType.Numerical, None).drifted))
    return np.array(found, dtype=float)


def evidently_defaults(reference: Floats, rows: Floats) -> bool:
    """Whether half of the columns or more are drifted, which Evidently calls a drifted dataset."""
    return bool(evidently_columns(reference, rows).mean() >= 0.5)


def first_alarm(method: Method, held_out: Pool, parts: list[tuple[Pool, int]], batch: int, rng: np.random.Generator) -> int | None:
    """The look (from 0) at which one model's life is first alarmed; ``parts``: a pool and how many looks are drawn from it."""
    reference = held_out.x[rng.choice(len(held_out.x), HELD_OUT, replace=False)]
    number = 0
    for pool, looks in parts:
        for _ in range(looks):
            if method(reference, pool.x[rng.integers(0, len(pool.x), batch)]):
                return number
            number += 1
    return None
