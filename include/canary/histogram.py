"""From a latency histogram to the figures that the judge compares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from include.canary.observations import BIN_RATIO, Latencies

if TYPE_CHECKING:
    from include.canary.latency_harm import Moments

LOG_BIN = math.log(BIN_RATIO)
REACH = 5.0
"""Latencies further from the median than this many (robust) standard deviations count as that far: one stuck request proves nothing."""
LEAST_SPREAD_LOG = 0.1
OWN_MEDIAN = 10
"""Requests from which on an arm's own median is taken to be known."""


def clip_bounds(arm: Latencies, other: Latencies) -> tuple[float, float]:
    """Lowest and highest log latency that counts in ``arm``, from all latencies of both arms so far.

    Around the arm's own median, so that an arm that is slower as a whole is not clipped to the other's; around both arms' together while
    it has too few requests to know its own.
    """
    middle, spread = _middle_and_spread(arm + other if arm.n < OWN_MEDIAN else arm)
    reach = REACH * max(spread, _middle_and_spread(other)[1] if other.n else 0.0, LEAST_SPREAD_LOG)
    return middle - reach, middle + reach


def _middle_and_spread(latencies: Latencies) -> tuple[float, float]:
    low, middle, high = (math.log(latencies.quantile(q) or 1.0) for q in (0.159, 0.5, 0.841))
    return middle, (high - low) / 2


def moments(latencies: Latencies, bounds: tuple[float, float]) -> Moments:
    """Number, mean and sum of squares of the log latencies (of milliseconds), bins at their middle, clipped to ``bounds``."""
    import numpy as np

    from include.canary.latency_harm import Moments

    if not latencies.counts:
        return Moments(np.zeros(1), np.zeros(1), np.zeros(1))
    # In one order, whatever the one that they came in: a sum's last digits hang on it, and looks are judged again from what is kept.
    order = sorted(latencies.counts)
    index = np.array(order, float)
    count = np.array([latencies.counts[number] for number in order], float)
    logs = np.clip((index + 0.5) * LOG_BIN, *bounds)
    n = count.sum()
    mean = (count * logs).sum() / max(n, 1)
    return Moments(np.array([n]), np.array([mean]), np.array([(count * (logs - mean) ** 2).sum()]))


def slower_than(latencies: Latencies, limit_ms: float) -> int:
    """How many were certainly slower than ``limit_ms``: those in bins that lie above it entirely."""
    first = math.ceil(math.log(limit_ms) / LOG_BIN - 1e-9)
    return sum(count for index, count in latencies.counts.items() if index >= first)
