"""What a suspicion comes to: the trial between the champion and the version before it, and the verdict. Pure: all of it out of evidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from include.canary.observations import Look
from include.canary.plan import TrialPlan
from include.canary.trial import Trial
from include.verdict import Decision, Rule, Verdict
from include.watch.life import ALPHA, ERRORS, PROOF, REFUSED, SLOW, Life, proven, step, suspicious
from include.watch.shares import ShareTest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from include.spec.schema import Canary

LOOKS = 60
"""A trial's looks."""
TRIAL_S, LONGEST_S, WANTED_REQUESTS = 60.0, 3600.0, 1500
"""A trial lasts at least a minute, and until about so many requests have been answered by both, but an hour at most: enough
to tell 1 % errors from 5 %. Nobody waits for it: the version before answers meanwhile."""
BOTH_FAIL = 3
"""As soon as the version before has failed so often, and no less than the champion, its answers are no better, and it is asked no more."""
WORDS = {ERRORS: "failed", PROOF: "failed", SLOW: "were slow", REFUSED: "were refused"}
Json = dict[str, Any]


def trial_plan(canary: Canary, number: int, rate: float) -> TrialPlan:
    """Return the plan of the trial after the suspicion ``number`` (from 1) of a champion that is asked ``rate`` times a second.

    Each trial has its own part of the alpha of all of them (Σ 6/π²k² = 1), so that there may be any number.
    """
    step_s = min(max(WANTED_REQUESTS / max(rate, 1e-6), TRIAL_S), LONGEST_S)
    return TrialPlan(
        steps=(50,),
        step_s=step_s,
        look_s=step_s / LOOKS,
        alpha=ALPHA / 2 * 6 / (math.pi * number) ** 2,
        error_margin=canary.error_margin,
        latency_margin=canary.latency_margin,
        error_tolerance=canary.error_tolerance,
        latency_tolerance=canary.latency_tolerance,
        max_error_rate=1.0,  # both may be over it: what counts is whether the version before is better
        min_requests=1,
    )


def opening(life: Life) -> Json:
    """Return what of a life has made a suspicion, as evidence: the tests, and the looks that they have had since."""
    past = life.past
    known = {"requests": past.requests, "errors": past.errors, "refused": past.refused, "p95_ms": past.latencies.quantile(0.95)}
    tests = {name: test.to_json() for name, test in life.begun.items()}
    return {"number": life.suspicions + 1, "past": known, "tests": tests, "recent": [list(look) for look in life.recent]}


def evidence(life: Life, previous: int | None, plan: TrialPlan | None, looks: Sequence[Look], hindrance: str = "") -> Json:
    """Return what a verdict rests on. ``previous`` is the version that there is a way back to, if there is; without a ``plan`` there was no
    trial. ``hindrance`` says why nothing is done about it."""
    found: Json = {"champion": life.version, "previous": previous, "opening": opening(life), "hindrance": hindrance}
    return found | ({"plan": plan.to_json(), "looks": [look.to_json() for look in looks]} if plan else {})


def verdict(found: Mapping[str, Any]) -> Verdict:
    """Say what the evidence comes to: ROLLBACK, PASS (the champion stays), FAIL (harm, and nothing is done), or CONTINUE.

    The same evidence gives the same verdict, whenever it is computed.
    """
    tests = {name: ShareTest.from_json(test) for name, test in found["opening"]["tests"].items()}
    looks = [tuple(look) for look in found["opening"]["recent"]]
    for look in looks:
        tests = step(tests, look)
    rules = tuple(_rule(name, test, looks, found["opening"]) for name, test in tests.items())
    suspicion = [rule.detail for rule in rules if rule.passed is False]
    if "plan" in found:
        decision, reasons, judged = _tried(found, suspicion)
        rules += judged
    elif proven(tests[PROOF]):
        decision, reasons = Decision.ROLLBACK, suspicion
    else:
        decision, reasons = Decision.CONTINUE, suspicion or ["Nothing speaks against the champion."]
    if decision is Decision.ROLLBACK and found["hindrance"]:
        decision, reasons = Decision.FAIL, [*reasons, f"Nothing was done: {found['hindrance']}"]
    elif decision is Decision.ROLLBACK:
        reasons = [*reasons, f"Production goes back from version {found['champion']} to version {found['previous']}."]
    return Verdict(decision, tuple(reasons), rules, dict(found))


def over(trial: Trial) -> bool:
    """Say whether the trial has come to an end."""
    return bool(trial.alarms) or trial.ended or no_better(trial)


def no_better(trial: Trial) -> bool:
    """Say whether the version before fails as often as the champion does."""
    return trial.stable.errors >= max(BOTH_FAIL, trial.canary.errors)


def _tried(found: Mapping[str, Any], suspicion: list[str]) -> tuple[Decision, list[str], tuple[Rule, ...]]:
    """The trial's part: the version before is the stable arm, the champion answers copies of the same requests."""
    trial = Trial.start(TrialPlan.from_json(found["plan"]))
    for look in found["looks"]:
        trial = trial.observe(Look.from_json(look))
    told = trial.verdict()
    rules, before, champion = told.rules, trial.stable, trial.canary
    arms = f"{champion.errors} of {champion.requests} copies failed of version {found['champion']}, "
    arms += f"{before.errors} of {before.requests} requests of version {found['previous']}."
    if told.decision is Decision.ROLLBACK:
        return Decision.ROLLBACK, [*suspicion, *trial.alarms.values()], rules
    if no_better(trial):
        return Decision.PASS, [*suspicion, f"The version before is no better: {arms} Going back would help nobody."], rules
    if not trial.ended:
        return Decision.CONTINUE, [*suspicion, f"Both are asked: {arms}"], rules
    return Decision.PASS, [*suspicion, f"On the same requests the champion is no worse than chance allows: {arms}"], rules


def _rule(name: str, test: ShareTest, looks: Sequence[tuple[float, ...]], opened: Mapping[str, Any]) -> Rule:
    """One test, in words. It has not passed once its evidence is a suspicion, or for :data:`PROOF` a proof."""
    columns = {ERRORS: (2, 3), PROOF: (2, 3), SLOW: (4, 5), REFUSED: (2, 6)}[name]
    every, bad = (int(sum(look[column] for look in looks)) for column in columns)
    every += bad if name == REFUSED else 0
    accepted, harm = float(test.accepted[0]), proven(test) if name == PROOF else suspicious(test)
    figure = f"{bad} of {every} requests {WORDS[name]} lately" if every else "no request lately"
    bar = f"accepted: {100 * accepted:.2g} %"
    known = f"of {opened['past']['requests']} requests that were accepted before"
    chance = "once in 2,000 lives" if name == PROOF else "12 times a day"
    detail = f"{figure}; {100 * accepted:.2g} % is what was accepted ({known}), and chance gives such a row no oftener than {chance}."
    return Rule(f"watch: {name}", not harm, figure, bar, detail if harm else f"{figure}: as accepted.")
