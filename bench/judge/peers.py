"""The judges beside ours, on the same streams. Each returns minutes to the alarm of each run, NaN where there is none."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.judge.simulate import LOOK_S, LOOKS, SPREAD_LOG, Stream

CHECK_LOOKS = 6
"""Flagger and Kayenta look at values per minute (Flagger's usual interval, Kayenta's usual step)."""
FIXED_RATE, STRIKES = 0.02, 5
NAIVE_Z = NormalDist().inv_cdf(1 - 0.025)
"""Errors and latency at 2.5 % each: 5 % for a single look."""
TOLERANCE, CONFIDENCE = 0.25, 0.98
"""Kayenta's Mann-Whitney classifier: tolerance and confidence level."""
KAYENTA_EVERY = 10
"""Minutes between two analyses, each of all data so far."""


def fixed_threshold(stable: Stream, canary: Stream) -> NDArray[np.float64]:
    """More than 2 % errors in a minute is a strike; the fifth strike rolls back (strikes are never forgiven)."""
    requests, errors = _per_minute(canary.requests), _per_minute(canary.errors)
    strikes = np.cumsum(errors > FIXED_RATE * requests, axis=0) >= STRIKES
    return _first(strikes, minutes=1.0)


def naive_z(stable: Stream, canary: Stream) -> NDArray[np.float64]:
    """An ordinary one-sided z-test of each metric at every look, as if it were the only one."""
    n_c, n_s, e_c, e_s = (np.cumsum(x, axis=0) for x in (canary.requests, stable.requests, canary.errors, stable.errors))
    pooled = (e_c + e_s) / np.maximum(n_c + n_s, 1)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / np.maximum(n_c, 1) + 1 / np.maximum(n_s, 1)), 1e-12))
    errors = (e_c / np.maximum(n_c, 1) - e_s / np.maximum(n_s, 1)) / error
    means = [np.cumsum(arm.mean * arm.answered, axis=0) / np.maximum(np.cumsum(arm.answered, axis=0), 1) for arm in (canary, stable)]
    latency = (means[0] - means[1]) / (SPREAD_LOG * np.sqrt(1 / np.maximum(n_c, 1) + 1 / np.maximum(n_s, 1)))
    return _first((errors > NAIVE_Z) | (latency > NAIVE_Z), minutes=LOOK_S / 60)


def mann_whitney(stable: Stream, canary: Stream) -> NDArray[np.float64]:
    """Per metric, Mann and Whitney's interval of the shift between per-minute values must clear a quarter of the estimated shift."""
    metrics = [(_rates(canary), _rates(stable)), (_latency(canary), _latency(stable))]
    runs = stable.requests.shape[1]
    minutes = np.full(runs, np.nan)
    for end in range(KAYENTA_EVERY, LOOKS // CHECK_LOOKS + 1, KAYENTA_EVERY):
        high = np.logical_or.reduce([_high(c[:end], s[:end]) for c, s in metrics])
        minutes = np.where(np.isnan(minutes) & high, end, minutes)
    return minutes


def _high(canary: NDArray[np.float64], stable: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the interval's lower end is above ``TOLERANCE`` times the Hodges-Lehmann estimate; arrays are [values, runs]."""
    n = len(canary)
    shifts = np.sort((canary[:, None, :] - stable[None, :, :]).reshape(n * n, -1), axis=0)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    rank = int(np.floor(n * n / 2 - z * np.sqrt(n * n * (2 * n + 1) / 12)))
    if rank < 0:
        return np.zeros(canary.shape[1], bool)
    estimate = (shifts[(n * n - 1) // 2] + shifts[n * n // 2]) / 2
    return (shifts[rank] > TOLERANCE * np.abs(estimate)) & (estimate > 0)


def _rates(arm: Stream) -> NDArray[np.float64]:
    return _per_minute(arm.errors) / np.maximum(_per_minute(arm.requests), 1)


def _latency(arm: Stream) -> NDArray[np.float64]:
    """Typical latency of each minute (geometric mean, milliseconds)."""
    return np.exp(_per_minute(arm.mean * arm.answered) / np.maximum(_per_minute(arm.answered), 1))


def _per_minute(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(LOOKS // CHECK_LOOKS, CHECK_LOOKS, -1).sum(axis=1)


def _first(alarm: NDArray[np.bool_], minutes: float) -> NDArray[np.float64]:
    """Time of the first True along the first axis."""
    return np.where(alarm.any(axis=0), (alarm.argmax(axis=0) + 1) * minutes, np.nan)
