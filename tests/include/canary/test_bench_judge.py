"""The benchmark drives the production functions: its fast path and a real trial say the same."""

from __future__ import annotations

import numpy as np

from bench.judge import ours
from bench.judge.simulate import Scenario, simulate
from include.canary import spending
from include.canary.error_harm import ErrorHarm


def test_a_batch_finds_harm_at_the_same_look_as_one_trial_alone() -> None:
    stable, canary = simulate(Scenario("errors 1→5 %", 1, canary_errors=0.05), 4, np.random.default_rng(0))
    minutes, _ = ours.detect(stable, canary)
    for run in range(4):
        alone = ErrorHarm.start(1)
        for look in range(360):
            spend = np.array([spending.comparison(ours.PLAN.alpha * ours.SHARES.errors, (look + 1) / 360)])
            counts = [x[look, run : run + 1] for x in (canary.requests, canary.errors, stable.requests, stable.errors)]
            alone = alone.observe(0, *counts, spend)
            if alone.crossed(0.0)[0]:
                break
        assert minutes[run] == (look + 1) / 6
