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


def clip_bounds(both: Latencies) -> tuple[float, float]:
    """Lowest and highest log latency that counts, from all latencies of both arms so far (the same bounds for both arms)."""
    low, middle, high = (math.log(both.quantile(q) or 1.0) for q in (0.159, 0.5, 0.841))
    spread = max((high - low) / 2, LEAST_SPREAD_LOG)
    return middle - REACH * spread, middle + REACH * spread


def moments(latencies: Latencies, bounds: tuple[float, float]) -> Moments:
    """Number, mean and sum of squares of the log latencies (of milliseconds), bins at their middle, clipped to ``bounds``."""
    import numpy as np

    from include.canary.latency_harm import Moments

    if not latencies.counts:
        return Moments(np.zeros(1), np.zeros(1), np.zeros(1))
    index = np.fromiter(latencies.counts.keys(), float)
    count = np.fromiter(latencies.counts.values(), float)
    logs = np.clip((index + 0.5) * LOG_BIN, *bounds)
    n = count.sum()
    mean = (count * logs).sum() / max(n, 1)
    return Moments(np.array([n]), np.array([mean]), np.array([(count * (logs - mean) ** 2).sum()]))


def slower_than(latencies: Latencies, limit_ms: float) -> int:
    """How many were certainly slower than ``limit_ms``: those in bins that lie above it entirely."""
    first = math.ceil(math.log(limit_ms) / LOG_BIN - 1e-9)
    return sum(count for index, count in latencies.counts.items() if index >= first)
