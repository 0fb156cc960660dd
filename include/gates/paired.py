"""Intervals of metrics, and the paired comparison of two models on the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING

from include.gates.evaluation import Comparison, Score
from include.gates.metrics import Metric
from include.gates.outcomes import Outcome

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

REPLICATES = 2000
FEWEST_REPLICATES = 200
CELLS = 40_000_000
"""Replicates times rows are kept below this (but for the fewest replicates), so that the step takes seconds on a large table too."""
CHUNK_CELLS = 2_000_000
"""Replicates times rows held at a time (16 MB as float64)."""
SEED = 20_260_101


def resamples(rows: int, groups: Ints | None = None) -> Iterator[Floats]:
    """Bootstrap weights in chunks of shape (some replicates, rows): how often each row is drawn, always the same for the same rows.

    With ``groups`` (an index a row, 0..g-1) whole groups are drawn, since rows of one group are not independent (cluster bootstrap).
    """
    import numpy as np

    rng = np.random.default_rng(SEED)
    units = rows if groups is None else int(groups.max()) + 1
    left = max(FEWEST_REPLICATES, min(REPLICATES, CELLS // rows))
    while left:
        count = min(left, max(1, CHUNK_CELLS // rows))
        draws = rng.integers(0, units, size=(count, units)) + np.arange(count)[:, None] * units
        weights = np.bincount(draws.ravel(), minlength=count * units).reshape(count, units).astype(float)
        yield weights if groups is None else weights[:, groups]
        left -= count


def estimate(metric: Metric, outcome: Outcome) -> float:
    """The metric on the rows as they are; NaN where they do not define it."""
    import numpy as np

    return float(metric.compute(outcome, np.ones((1, len(outcome))))[0])


def score(metric: Metric, outcome: Outcome, confidence: float, groups: Ints | None = None) -> Score:
    """The metric with its two-sided interval: Wilson's for a share of independent rows (accuracy), else a percentile bootstrap.

    The bootstrap interval is widened, where need be, to hold the estimate (it can miss that of a biased statistic such as the calibration
    error).
    """
    import numpy as np

    value = estimate(metric, outcome)
    if math.isnan(value):
        return Score(None, method="not defined on these rows")
    if metric.right is not None and groups is None:
        low, high = wilson(int(metric.right(outcome).sum()), len(outcome), confidence)
        return Score(value, low, high, "Wilson")
    values = np.concatenate([metric.compute(outcome, weights) for weights in resamples(len(outcome), groups)])
    low, high = _percentiles(values, confidence, value)
    return Score(value, low, high, _bootstrap(groups, len(values)))


def compare(metric: Metric, ours: Outcome, theirs: Outcome, margin: float, confidence: float, groups: Ints | None = None) -> Comparison:
    """``ours`` (challenger) against ``theirs`` (champion), rows in the same order, positive when ours is better.

    A share of independent rows (accuracy): McNemar's exact test, or Tango's score test when a margin is tolerated. Otherwise the paired
    bootstrap.
    """
    import numpy as np

    sign = 1.0 if metric.higher_is_better else -1.0
    difference = sign * (estimate(metric, ours) - estimate(metric, theirs))
    if math.isnan(difference):
        return Comparison(metric.name, len(ours), None, None, None, None, margin, "not defined on these rows")
    both = [sign * (metric.compute(ours, weights) - metric.compute(theirs, weights)) for weights in resamples(len(ours), groups)]
    values = np.concatenate(both)
    low, high = _percentiles(values, confidence, difference)
    if metric.right is not None and groups is None:
        gained, lost = discordant(metric.right(ours), metric.right(theirs))
        p, method = (
            (tango_p(gained, lost, len(ours), margin), "Tango's score test") if margin else (mcnemar_p(gained, lost), "McNemar, exact")
        )
        return Comparison(metric.name, len(ours), difference, low, high, p, margin, f"{method}: {gained} rows gained, {lost} lost")
    defined = values[~np.isnan(values)]
    p = (1 + int((defined >= -margin).sum())) / (1 + len(defined))
    return Comparison(metric.name, len(ours), difference, low, high, p, margin, f"paired {_bootstrap(groups, len(values))}")


def discordant(ours: Bools, theirs: Bools) -> tuple[int, int]:
    """``(gained, lost)``: rows that only ours has right, rows that only theirs has right."""
    return int((ours & ~theirs).sum()), int((~ours & theirs).sum())


def mcnemar_p(gained: int, lost: int) -> float:
    """One-sided exact p-value of "no worse": P(X ≥ lost), X binomial(gained + lost, 1/2). Exact form of McNemar, Psychometrika 12, 1947."""
    n = gained + lost
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(lost, n + 1)]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def tango_p(gained: int, lost: int, rows: int, margin: float) -> float:
    """One-sided p-value of "worse by no more than margin" for paired shares: the score test of Tango, Statistics in Medicine 17, 1998."""
    delta = -margin
    b = -gained - lost + (2 * rows - gained + lost) * delta
    c = -lost * delta * (1 - delta)
    share = (math.sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
    variance = rows * (2 * share + delta * (1 - delta))
    above = gained - lost - rows * delta
    if variance <= 0:
        return 1.0 if above >= 0 else 0.0
    return NormalDist().cdf(above / math.sqrt(variance))


def wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Two-sided score interval of a share (Wilson, JASA 22, 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, scale = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _percentiles(values: Floats, confidence: float, value: float) -> tuple[float, float]:
    import numpy as np

    defined = values[~np.isnan(values)]
    if not len(defined):
        return value, value
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), value), max(float(high), value)


def _bootstrap(groups: Ints | None, replicates: int) -> str:
    return f"bootstrap, {replicates} resamples of {'rows' if groups is None else 'groups'}"
