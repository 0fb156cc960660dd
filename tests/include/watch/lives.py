"""Lives of champions, and trials after suspicions."""

from __future__ import annotations

from include.canary.observations import Arm, Latencies, Look
from include.canary.trial import Trial
from include.spec.schema import Canary
from include.watch import verdicts
from include.watch.life import Bounds, Life

BOUNDS = Bounds()
PAST = Arm(6000, 60, Latencies.of([4.0, 5.0, 6.0] * 1980), refused=6)


def answered(requests: int, errors: int = 0, ms: float = 5.0) -> Arm:
    return Arm(requests, errors, Latencies.of([ms] * (requests - errors)))


def suspected(errors: int = 3, ms: float = 5.0) -> Life:
    """A champion, version 3, at its first suspicion."""
    life = Life.start(3, PAST, BOUNDS)
    while not life.suspected():
        life = life.observe(answered(10, errors, ms), 1.0, BOUNDS)
    return life


def tried(errors: tuple[int, int] = (0, 0), ms: tuple[float, float] = (5.0, 5.0), hindrance: str = "") -> verdicts.Json:
    """The evidence after a whole trial against version 2, with ten requests a look; figures of version 2, then of the champion."""
    life = suspected() if ms[1] == 5.0 else suspected(0, ms[1])
    plan, looks = verdicts.trial_plan(Canary(), 1, 10.0), []
    trial = Trial.start(plan)
    for number in range(1, verdicts.LOOKS + 1):
        look = Look(number * plan.look_s, 0, 50, answered(10, errors[0], ms[0]), answered(10, errors[1], ms[1]))
        trial = trial.observe(look)
        looks.append(look)
        if verdicts.over(trial):
            break
    return verdicts.evidence(life, 2, plan, looks, hindrance)
