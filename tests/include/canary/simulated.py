"""Looks of simulated trials, and trials driven in bulk through the numeric core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from include.canary import spending
from include.canary.asked import NOTHING, Asked
from include.canary.error_harm import ErrorHarm
from include.canary.latency_harm import LatencyHarm, Moments
from include.canary.observations import Answers, Arm, Latencies, Look
from include.canary.plan import ChatPlan, TrialPlan
from include.canary.trial import Trial

DEMO = TrialPlan(steps=(10, 25, 50), step_s=12, look_s=1)
CHAT = TrialPlan(steps=(20, 50), step_s=60, look_s=5, error_tolerance=0.05, chat=ChatPlan())


def looks(
    plan: TrialPlan,
    requests_per_s: float,
    *,
    stable_errors: float = 0.0,
    canary_errors: float = 0.0,
    added_ms: float = 0.0,
    seed: int = 0,
) -> Iterator[Look]:
    """One trial's looks: Poisson requests split by weight, lognormal latencies around 5 ms, ``added_ms`` more on the canary."""
    rng = np.random.default_rng(seed)

    def arm(rate: float, error_rate: float, added: float) -> Arm:
        n = int(rng.poisson(rate * plan.look_s))
        errors = int(rng.binomial(n, error_rate))
        return Arm(n, errors, Latencies.of(5 * np.exp(0.4 * rng.standard_normal(n - errors)) + added))

    for index in range(1, round(plan.duration_s / plan.look_s) + 1):
        at_s = index * plan.look_s
        step = min(int((at_s - 1e-6) // plan.step_s), len(plan.steps) - 1)
        share = plan.steps[step] / 100
        stable, canary = arm(requests_per_s * (1 - share), stable_errors, 0.0), arm(requests_per_s * share, canary_errors, added_ms)
        yield Look(at_s, step, plan.steps[step], stable, canary)


def chat_looks(
    plan: TrialPlan = CHAT,
    *,
    tpot: float = 1.0,
    bad: float = 0.02,
    length: float = 1.0,
    ttft_ms: float = 50,
    seed: int = 0,
    asked: Asked = NOTHING,
) -> Iterator[Look]:
    """Forty requests a second; a token takes 10 ms and an answer has some forty; the figures given are the canary's."""
    rng = np.random.default_rng(seed)

    def arm(share: float, tpot: float, bad: float, length: float, ttft_ms: float) -> Arm:
        n = int(rng.poisson(40 * plan.look_s * share))
        ttft = ttft_ms * np.exp(0.4 * rng.standard_normal(n))
        answers = Answers(
            ended=n,
            bad=int(rng.binomial(n, bad)),
            ttft=Latencies.of(ttft),
            tpot=Latencies.of(10 * tpot * np.exp(0.2 * rng.standard_normal(n))),
            lengths=Latencies.of(np.ceil(40 * length * np.exp(0.6 * rng.standard_normal(n)))),
        )
        return Arm(n, 0, Latencies.of(ttft), answers)

    for index in range(1, round(plan.duration_s / plan.look_s) + 1):
        at_s = index * plan.look_s
        step = min(int((at_s - 1e-6) // plan.step_s), len(plan.steps) - 1)
        share = plan.steps[step] / 100
        yield Look(at_s, step, plan.steps[step], arm(1 - share, 1.0, 0.02, 1.0, 50), arm(share, tpot, bad, length, ttft_ms), asked)


def run(plan: TrialPlan, stream: Iterator[Look]) -> Trial:
    """The trial at its first alarm, or at its end."""
    trial = Trial.start(plan)
    for look in stream:
        trial = trial.observe(look)
        if trial.alarms:
            break
    return trial


def error_alarms(
    plan: TrialPlan,
    requests_per_s: float,
    rates: Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]],
    runs: int,
    seed: int = 0,
) -> float:
    """Share of ``runs`` trials with an alarm on errors. ``rates(rng, step, runs)`` gives each run's (stable, canary) rate in a look."""
    rng, harm = np.random.default_rng(seed), ErrorHarm.start(len(plan.steps), runs)
    alarmed = np.zeros(runs, bool)
    for index in range(1, round(plan.duration_s / plan.look_s) + 1):
        at_s = index * plan.look_s
        step = min(int((at_s - 1e-6) // plan.step_s), len(plan.steps) - 1)
        share, per_look = plan.steps[step] / 100, requests_per_s * plan.look_s
        n_s, n_c = rng.poisson(per_look * (1 - share), runs), rng.poisson(per_look * share, runs)
        p_s, p_c = rates(rng, step, runs)
        e_s, e_c = rng.binomial(n_s, p_s), rng.binomial(n_c, p_c)
        spend = np.full(runs, spending.comparison(plan.alpha * spending.ERRORS, at_s / plan.duration_s))
        harm = harm.observe(step, n_c.astype(float), e_c.astype(float), n_s.astype(float), e_s.astype(float), spend)
        alarmed |= harm.crossed(plan.error_margin)
    return float(alarmed.mean())


def latency_alarms(plan: TrialPlan, per_look: int, noise: float, memory: float, shared: float, runs: int, seed: int = 0) -> float:
    """Share of trials with a latency alarm though both arms are alike.

    Each arm wanders by ``noise`` (relative, from look to look, autocorrelation ``memory``); ``shared`` is how much both wander together.
    """
    rng, harm = np.random.default_rng(seed), LatencyHarm.start(runs)
    alarmed, wander = np.zeros(runs, bool), noise * rng.standard_normal((2, runs))
    n = np.full(runs, float(per_look))
    for index in range(1, round(plan.duration_s / plan.look_s) + 1):
        wander = memory * wander + np.sqrt(1 - memory**2) * noise * rng.standard_normal((2, runs))
        both = shared * rng.standard_normal(runs)
        arms = [Moments(n, both + w + 0.5 * rng.standard_normal(runs) / np.sqrt(n), 0.25 * rng.chisquare(n - 1)) for w in wander]
        elapsed = index * plan.look_s / plan.duration_s
        harm = harm.observe(arms[0], arms[1], np.full(runs, spending.comparison(plan.alpha * spending.LATENCY, elapsed)))
        alarmed |= harm.crossed(plan.latency_margin)
    return float(alarmed.mean())
