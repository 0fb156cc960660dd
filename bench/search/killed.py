"""A search whose trials are killed at random: the trials that it comes to, and the seconds of training that are done again.

The code that decides is the real one (what is tried, when a trial may begin, what it knows); the clock, the workers and their deaths are
simulated. A killed trial is tried again and goes on with the first fold that was not finished, as the step does.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.search.compared import seen
from bench.search.tables import Table
from include.search.order import awaited
from include.search.plan import Plan, SearchState, Trial
from include.search.sampler import ask

FOLDS = 5
TIME = "train_time"


@dataclass(frozen=True)
class Lived:
    """``trials`` as they ended; ``useful_s`` and ``lost_s`` are seconds of training, kept and done again; ``kills`` how often one died."""

    trials: tuple[Trial, ...]
    useful_s: float
    lost_s: float
    kills: int


def live(table: Table, plan: Plan, rerun: int, mortal: Callable[[random.Random], bool]) -> Lived:
    """Return a search with ``plan.parallel`` workers; ``mortal`` draws whether a try is killed. Killed ones begin again after a while, so
    that others end before them."""
    draw = random.Random(rerun)
    trials: list[Trial] = []
    going: list[tuple[float, int]] = []
    useful = lost = now = 0.0
    kills = 0
    while len(trials) < plan.count or going:
        if len(trials) < plan.count and len(going) < plan.parallel and not awaited(plan, trials, len(trials)):
            trials.append(Trial(len(trials), ask(plan, trials)))
            seconds, left = table.row(trials[-1].params)[TIME][0], 1.0
            ends = now
            while mortal(draw) and kills < 10 * plan.count:
                at = draw.random() * left
                done = int((1 - left + at) * FOLDS) / FOLDS
                lost += seconds * (1 - left + at - done)
                ends += seconds * at + draw.expovariate(1 / 30)
                left, kills = 1 - done, kills + 1
            useful += seconds
            heapq.heappush(going, (ends + seconds * left, len(trials) - 1))
            continue
        now, number = heapq.heappop(going)
        trials[number] = replace(trials[number], state=SearchState.COMPLETE, value=seen(table, trials[number].params, rerun))
    return Lived(tuple(trials), useful, lost, kills)
