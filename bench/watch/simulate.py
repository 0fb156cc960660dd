"""Champions' requests in simulated time, and the watch's own tests on them, a thousand champions at a time.

Every champion has an accepted past (its errors drawn, so that what is known of it is as wrong as it would be), and a version before that
stands by. After a suspicion both are judged by the same functions that production runs, in batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.canary import spending
from include.canary.error_harm import ErrorHarm
from include.spec.schema import Canary
from include.watch.life import ENOUGH_PAST, SUSPICIONS_A_DAY
from include.watch.shares import DAY_S, ShareTest
from include.watch.verdicts import BOTH_FAIL, LOOKS, trial_plan

LOOK_S = 0.5
"""The watch's own pace."""
SEEN_AFTER_S = 0.25
"""A request is in the gateway's log so much later."""
CALM_S = 60.0
"""A champion is watched for so long before it goes bad."""
BATCH = 400
"""Trials that are judged together."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """``rate`` requests a second; a champion fails with ``good`` before and with ``bad`` after it went bad; ``move_s`` is how long the
    gateway takes to move traffic (seconds)."""

    rate: float = 5.0
    good: float = 0.01
    bad: float = 0.20
    move_s: float = 0.5


def accepted(world: World, champions: int, rng: np.random.Generator) -> Floats:
    """What the watch believes to be each champion's usual share of failures."""
    return (rng.binomial(ENOUGH_PAST, world.good, champions) + 1) / (ENOUGH_PAST + 2)


def trials(world: World, share: float, number: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each trial ends in a rollback, and how long it took (seconds); ``share`` of the champion's copies fail. ``number`` [trials]
    are those of the suspicions before them."""
    size = len(number)
    test = ErrorHarm.start(1, size)
    plans = [trial_plan(Canary(), int(one), world.rate) for one in number]
    look_s, alpha = plans[0].look_s, np.array([plan.alpha for plan in plans])
    lost, ended, seconds = np.zeros(size, bool), np.zeros(size, bool), np.full(size, plans[0].duration_s)
    totals = np.zeros((2, size))
    for look in range(1, LOOKS + 1):
        asked = rng.poisson(world.rate * look_s, size).astype(float)  # each request is answered by both
        failed = [rng.binomial(asked.astype(int), one).astype(float) for one in (share, world.good)]
        test = test.observe(0, asked, failed[0], asked, failed[1], alpha * spending.comparison(spending.ERRORS, look / LOOKS))
        totals += np.stack(failed)
        crossed = test.crossed(plans[0].error_margin) & ~ended
        lost |= crossed
        over = (crossed | (totals[1] >= np.maximum(BOTH_FAIL, totals[0]))) & ~ended
        seconds[over] = look * look_s
        ended |= over
    return lost, seconds


def bad_seconds(world: World, champions: int, rng: np.random.Generator, limit_s: float = 600.0) -> tuple[Floats, int]:
    """From the first to the last bad answer that callers got of each champion that goes bad, and how many stayed in production.

    One that a trial acquits answers callers again, and may be suspected anew.
    """
    ends = np.arange(-CALM_S + LOOK_S, limit_s + LOOK_S, LOOK_S)
    times = [np.sort(rng.uniform(-CALM_S, limit_s, rng.poisson(world.rate * (CALM_S + limit_s)))) for _ in range(champions)]
    fails = [rng.random(len(one)) < np.where(one < 0, world.good, world.bad) for one in times]
    edges = np.append(ends[0] - LOOK_S, ends) - SEEN_AFTER_S
    every = np.array([np.histogram(one, edges)[0] for one in times], float)
    failed = np.array([np.histogram(one[bad], edges)[0] for one, bad in zip(times, fails, strict=True)], float)
    test = ShareTest.start(accepted(world, champions, rng))
    until, free = np.full(champions, np.nan), np.full(champions, -np.inf)
    number = np.ones(champions, int)
    for look, end_s in enumerate(ends):
        watched = end_s > free  # the others are on trial, or out of production
        test = test.observe(every[:, look] * watched, failed[:, look] * watched, LOOK_S / DAY_S)
        hit = np.flatnonzero((test.total * SUSPICIONS_A_DAY >= 1) & watched)
        if not len(hit):
            continue
        lost, seconds = trials(world, world.bad if end_s > 0 else world.good, number[hit], rng)
        until[hit[lost]] = end_s + world.move_s
        free[hit] = np.where(lost, np.inf, end_s + seconds)
        number[hit] += 1
        test.evidence[hit] = 0.0
        if not np.isnan(until).any():
            break
    return np.array([_span(one, bad, end) for one, bad, end in zip(times, fails, until, strict=True)]), int(np.isnan(until).sum())


def false_rollbacks(world: World, champions: int, days: float, rng: np.random.Generator) -> tuple[int, int]:
    """Suspicions and rollbacks of ``champions`` that are as good as they were, in so many days each."""
    test, number = ShareTest.start(accepted(world, champions, rng)), np.ones(champions, int)
    suspicions = []
    for _ in range(round(days * DAY_S / LOOK_S)):
        asked = rng.poisson(world.rate * LOOK_S, champions)
        test = test.observe(asked.astype(float), rng.binomial(asked, world.good).astype(float), LOOK_S / DAY_S)
        hit = np.flatnonzero(test.total * SUSPICIONS_A_DAY >= 1)
        suspicions += number[hit].tolist()
        number[hit] += 1
        test.evidence[hit] = 0.0
    batches = [np.array(suspicions[first : first + BATCH]) for first in range(0, len(suspicions), BATCH)]
    return len(suspicions), sum(int(trials(world, world.good, batch, rng)[0].sum()) for batch in batches)


def _span(times: Floats, bad: NDArray[np.bool_], until: float) -> float:
    """Between the first and the last bad answer after the change, of those before ``until``."""
    found = times[bad & (times >= 0) & (times < (np.inf if np.isnan(until) else until))]
    return float(found[-1] - found[0]) if len(found) else 0.0
