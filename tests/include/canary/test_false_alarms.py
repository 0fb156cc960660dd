"""A canary that is no worse than stable is rarely rolled back, however often one looks. Fixed seeds; bars leave three standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from include.canary.plan import TrialPlan
from tests.include.canary.simulated import error_alarms, latency_alarms

pytestmark = pytest.mark.slow

HOUR = TrialPlan(steps=(50,), step_s=1800, look_s=10, latency_margin=0.0)
STEPS = TrialPlan(steps=(10, 25, 50), step_s=600, look_s=10)
RUNS = 1000
ERRORS_BAR = 0.0375 + 3 * np.sqrt(0.0375 * 0.9625 / RUNS)


def equal(rate: float):
    return lambda rng, step, runs: (np.full(runs, rate), np.full(runs, rate))


@pytest.mark.parametrize(("requests_per_s", "rate"), [(0.4, 0.01), (2, 0.01), (2, 0.3), (100, 0.01)])
def test_equal_error_rates_at_any_traffic(requests_per_s: float, rate: float) -> None:
    assert error_alarms(HOUR, requests_per_s, equal(rate), RUNS) <= ERRORS_BAR


def test_alpha_is_used_and_not_wasted() -> None:
    assert error_alarms(HOUR, 20, equal(0.02), RUNS) >= 0.02


def test_a_base_rate_that_drifts_with_the_steps_is_no_harm() -> None:
    """Simpson's paradox: pooled over steps, the canary has far more failures, because it got its traffic in the bad step."""

    def drifting(rng: np.random.Generator, step: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
        rate = np.full(runs, (0.002, 0.01, 0.06)[step])
        return rate, rate

    assert error_alarms(STEPS, 20, drifting, RUNS) <= ERRORS_BAR


def test_bursts_that_hit_both_arms_are_no_harm() -> None:
    def bursts(rng: np.random.Generator, step: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
        rate = np.clip(rng.gamma(0.1, 0.2, runs), 0, 1)
        return rate, rate

    assert error_alarms(STEPS, 20, bursts, RUNS) <= ERRORS_BAR


def test_bursts_that_hit_one_arm_at_a_time_are_mostly_seen_through() -> None:
    """Each arm's rate jumps on its own (gamma, coefficient of variation 1), six times the variance of independent requests."""

    def own(rng: np.random.Generator, step: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
        return np.clip(rng.gamma(1, 0.02, runs), 0, 1), np.clip(rng.gamma(1, 0.02, runs), 0, 1)

    assert error_alarms(HOUR, 50, own, 600) <= 0.15


@pytest.mark.parametrize(("noise", "memory"), [(0.0, 0.0), (0.03, 0.0), (0.03, 0.5)])
def test_latency_noise_between_looks_is_no_harm(noise: float, memory: float) -> None:
    assert latency_alarms(HOUR, 100, noise, memory, shared=0.3, runs=600) <= 0.0075 + 3 * np.sqrt(0.0075 / 600)


def test_slow_wander_stays_within_the_default_margin() -> None:
    """Five per cent of wander that lasts a minute cannot be told from harm at once; the default margin of a tenth is there for that."""
    assert latency_alarms(STEPS, 500, 0.05, 0.8, shared=0.3, runs=600) <= 0.0075 + 3 * np.sqrt(0.0075 / 600)
