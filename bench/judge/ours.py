"""Updraft's judge on simulated streams: the functions that production runs, four hundred trials at a time."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.judge.simulate import DURATION_S, LOOK_S, LOOKS, Stream
from include.canary import spending
from include.canary.error_harm import ErrorHarm
from include.canary.latency_harm import LatencyHarm, Moments
from include.canary.plan import TrialPlan

PLAN = TrialPlan(steps=(50,), step_s=DURATION_S, look_s=LOOK_S, error_margin=0.0, latency_margin=0.0, max_error_rate=1.0)
"""Harm margin 0; the absolute limits are off (100 %), so that only harm relative to stable counts."""
BATCH = 400
SHARES = spending.TABLE_ANSWERS
"""The answers' own part is in :mod:`bench.judge.answers`."""


def detect(stable: Stream, canary: Stream, plan: TrialPlan = PLAN) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Minutes to the rollback of each run (NaN: none), and which runs end with a promotion."""
    runs = stable.requests.shape[1]
    minutes, promoted = np.full(runs, np.nan), np.zeros(runs, bool)
    for first in range(0, runs, BATCH):
        batch = np.arange(first, min(first + BATCH, runs))
        minutes[batch], promoted[batch] = _detect(stable, canary, plan, batch)
    return minutes, promoted


def _detect(stable: Stream, canary: Stream, plan: TrialPlan, batch: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    errors, latency = ErrorHarm.start(len(plan.steps), len(batch)), LatencyHarm.start(len(batch))
    refused = ErrorHarm.start(len(plan.steps), len(batch))
    minutes, promoted = np.full(len(batch), np.nan), np.zeros(len(batch), bool)
    alive = np.arange(len(batch))
    for look in range(LOOKS):
        at_s, runs = (look + 1) * LOOK_S, batch[alive]
        elapsed, one = at_s / plan.duration_s, np.ones(len(alive))
        counts = (canary.requests[look, runs], canary.errors[look, runs], stable.requests[look, runs], stable.errors[look, runs])
        errors = errors.observe(0, *counts, one * spending.comparison(plan.alpha * SHARES.errors, elapsed))
        moments = [Moments(arm.answered[look, runs], arm.mean[look, runs], arm.squares[look, runs]) for arm in (canary, stable)]
        latency = latency.observe(moments[0], moments[1], one * spending.comparison(plan.alpha * SHARES.latency, elapsed))
        both = [(arm.requests[look, runs] + arm.refused[look, runs], arm.refused[look, runs]) for arm in (canary, stable)]
        refused = refused.observe(0, *both[0], *both[1], one * spending.comparison(plan.alpha * SHARES.refused, elapsed))
        crossed = errors.crossed(plan.error_margin) | latency.crossed(plan.latency_margin) | refused.crossed(plan.error_margin)
        minutes[alive[crossed]] = at_s / 60
        errors, latency, refused, alive = errors.take(~crossed), latency.take(~crossed), refused.take(~crossed), alive[~crossed]
        if not len(alive):
            return minutes, promoted
    z = NormalDist().inv_cdf(1 - plan.alpha)
    promoted[alive] = (errors.upper(z) < plan.error_tolerance) & (latency.upper(z) < np.log1p(plan.latency_tolerance))
    return minutes, promoted
