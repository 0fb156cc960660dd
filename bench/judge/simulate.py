"""Streams of simulated canaries: equal arms, Poisson requests, independent failures, lognormal latencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK_S = 10.0
DURATION_S = 3600.0
LOOKS = int(DURATION_S / LOOK_S)
SPREAD_LOG = 0.5
"""Standard deviation of a log latency: a 99th percentile 3.2 times the median, usual for a model server."""
BASE_LOG_MS = float(np.log(20.0))


@dataclass(frozen=True)
class Scenario:
    """``rate`` is requests per second and arm; ``slower`` the relative rise of latency."""

    name: str
    rate: float
    stable_errors: float = 0.01
    canary_errors: float = 0.01
    slower: float = 0.0
    stable_refused: float = 0.0
    canary_refused: float = 0.0
    """Shares of the requests that an arm refuses (4xx); they are beside the others."""
    differ: float = 0.01
    """Share of rows that two versions answer differently."""
    live_differ: float = 0.02
    """The same of live rows: by default as many more as the margin tolerates, so that chance alone may raise an alarm."""

    @property
    def harmless(self) -> bool:
        return (
            self.canary_errors <= self.stable_errors
            and self.slower <= 0
            and self.canary_refused <= self.stable_refused
            and self.live_differ <= 0.02
        )


@dataclass(frozen=True)
class Stream:
    """One arm's looks, all [looks, runs]. Log latencies of the requests that did not fail: mean, sum of squares around it.

    Mean and sum of squares of normal values are drawn from their own (exact) distributions, not request by request.
    """

    requests: NDArray[np.float64]
    errors: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    refused: NDArray[np.float64]

    @property
    def answered(self) -> NDArray[np.float64]:
        return self.requests - self.errors


def simulate(scenario: Scenario, runs: int, rng: np.random.Generator) -> tuple[Stream, Stream]:
    """(stable, canary) of ``runs`` trials of one hour."""
    shift = float(np.log1p(scenario.slower))
    stable = _arm(scenario.rate, scenario.stable_errors, 0.0, scenario.stable_refused, runs, rng)
    return stable, _arm(scenario.rate, scenario.canary_errors, shift, scenario.canary_refused, runs, rng)


def _arm(rate: float, error_rate: float, shift: float, refused: float, runs: int, rng: np.random.Generator) -> Stream:
    requests = rng.poisson(rate * LOOK_S, (LOOKS, runs))
    errors = rng.binomial(requests, error_rate)
    n = requests - errors
    mean = BASE_LOG_MS + shift + SPREAD_LOG * rng.standard_normal((LOOKS, runs)) / np.sqrt(np.maximum(n, 1))
    squares = np.where(n > 1, SPREAD_LOG**2 * rng.chisquare(np.maximum(n - 1, 1)), 0.0)
    turned_away = rng.poisson(rate * LOOK_S * refused / (1 - refused), (LOOKS, runs)).astype(float)
    return Stream(requests.astype(float), errors.astype(float), mean, squares, turned_away)
