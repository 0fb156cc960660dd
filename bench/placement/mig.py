"""MIG instances asked for and given back: GPUs cut once for all, and cut anew by what is asked. Whoever finds no room goes away."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count

from include.pool import mig
from include.pool.mig_cuts import PROFILES, Cut, Instance, additions, cut, served, table

MODEL = "H100-80GB"
GPUS = 8
REQUESTS = 1500
LOAD = 0.9
"""Compute slices wanted in the mean, over those that there are."""
SMALL, DOUBLE, TWO, HALF, FOUR, WHOLE = PROFILES[MODEL]
MIXES = {
    "small": {SMALL: 6, TWO: 3, HALF: 1},
    "mixed": {SMALL: 4, DOUBLE: 1, TWO: 3, HALF: 2, FOUR: 1, WHOLE: 0.5},
    "large": {SMALL: 1, TWO: 2, HALF: 4, FOUR: 2, WHOLE: 1},
}
"""Profile → how often."""
FIRST_FIT = "re-cut first fit"
FIXED = {"fixed 3+2+1+1": [HALF, TWO, SMALL, SMALL], "fixed 7 x 1": [SMALL] * 7}


@dataclass
class Gpu:
    held: list[Instance] = field(default_factory=list)
    idle: list[Instance] = field(default_factory=list)


def accepted(way: str, mix: str, seed: int) -> float:
    """Return the % of requests that had an instance at once. ``way``: a fixed cut, ``re-cut first fit`` (the first place of the first GPU),
    or ``Updraft`` (the pool's own rule)."""
    rng = random.Random(seed)
    profiles, weights = zip(*MIXES[mix].items(), strict=True)
    slices = sum(mig.slices(profile) * weight for profile, weight in MIXES[mix].items()) / sum(weights)
    gap = slices / (LOAD * GPUS * mig.SLICES)  # stays last 1 in the mean
    gpus = [Gpu(idle=served(table(MODEL), (), FIXED.get(way, ()))) for _ in range(GPUS)]
    ends: list[tuple[float, int, Gpu, Instance]] = []
    number, now, taken = count(), 0.0, 0
    for _ in range(REQUESTS):
        now += rng.expovariate(1 / gap)
        profile, stay = rng.choices(profiles, weights)[0], rng.expovariate(1.0)
        while ends and ends[0][0] <= now:
            _, _, gpu, one = heapq.heappop(ends)
            gpu.held.remove(one)
            gpu.idle.append(one)
        found = _place(way, gpus, profile)
        if found is not None:
            gpu, one = found
            gpu.held.append(one)
            heapq.heappush(ends, (now + stay, next(number), gpu, one))
            taken += 1
    return 100 * taken / REQUESTS


def _place(way: str, gpus: list[Gpu], profile: str) -> tuple[Gpu, Instance] | None:
    if way != FIRST_FIT:
        ready = next(((gpu, one) for gpu in gpus for one in gpu.idle if one.profile == profile), None)
        if ready is not None:
            ready[0].idle.remove(ready[1])
            return ready
    if way == FIRST_FIT:
        options = ((gpu, one) for gpu in gpus for one in additions(table(MODEL), gpu.held, profile))
        return next(options, None)
    plans = [(found[1], at, found[0]) for at, gpu in enumerate(gpus) if (found := cut(MODEL, gpu.held, gpu.idle, profile))]
    if way in FIXED or not plans:
        return None
    _, at, plan = min(plans, key=lambda option: option[:2])
    return gpus[at], _done(gpus[at], plan, profile)


def _done(gpu: Gpu, plan: Cut, profile: str) -> Instance:
    """The GPU as the cut leaves it; the instance that is taken."""
    gpu.idle = [one for one in gpu.idle if one not in plan.destroy] + list(plan.create)
    one = next(one for one in gpu.idle if one.profile == profile)
    gpu.idle.remove(one)
    return one
