"""The answers' test on simulated trials: rows of live requests, against what held-out rows have shown of the two versions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.judge.ours import PLAN
from bench.judge.simulate import DURATION_S, LOOK_S, LOOKS, Scenario
from include.canary import spending
from include.canary.answers_test import allowed
from include.canary.increments import binomial
from include.canary.plan import AnswersPlan
from include.canary.walk import Walk

SPEC = AnswersPlan()
HELD_OUT = 1000
"""Held-out rows that both versions have answered."""
PACED = np.diff(np.floor(SPEC.requests * np.arange(LOOKS + 1) * LOOK_S / DURATION_S))
"""Requests that both arms are asked in each look, as far as there are any."""


def detect(scenario: Scenario, runs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Minutes to the alarm of each of ``runs`` trials of an hour (NaN: none). The held-out rows are drawn anew for each."""
    held_out = rng.binomial(HELD_OUT, scenario.differ, runs)
    shares = {differ: allowed(_plan(int(differ)), PLAN.alpha) for differ in np.unique(held_out)}
    bar = np.array([shares[differ] for differ in held_out])
    walk, bad, minutes = Walk.start(runs), np.zeros(runs), np.full(runs, np.nan)
    for look in range(LOOKS):
        arrived = rng.poisson(2 * scenario.rate * SPEC.share * LOOK_S, runs)
        rows = np.minimum(arrived, PACED[look]).astype(float)
        spend = spending.comparison(PLAN.alpha * spending.TABLE_ANSWERS.answers / 2, (look + 1) * LOOK_S / DURATION_S)
        walk = walk.advance(binomial(rows, bar), np.full(runs, spend))
        bad = bad + rng.binomial(rows.astype(int), scenario.live_differ)
        crossed = np.isnan(minutes) & (bar < 1) & (bad >= walk.boundary - 1e-9)
        minutes[crossed] = (look + 1) * LOOK_S / 60
    return minutes


def _plan(differ: int) -> AnswersPlan:
    return AnswersPlan(rows=HELD_OUT, differ=differ)
