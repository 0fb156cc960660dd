"""A champion's life, and what a suspicion against it comes to."""

from __future__ import annotations

import json

import pytest

from include.canary.observations import Arm, Latencies, Look
from include.evidence.recompute import complete, difference
from include.spec.schema import Canary
from include.verdict import Decision
from include.watch import verdicts
from include.watch.life import ALPHA, ENOUGH_PAST, Bounds, Life, step
from tests.include.watch.lives import BOUNDS, PAST, answered, suspected, tried


def test_a_calm_life_is_learnt_from_until_enough_is_known():
    life = Life.start(3, Arm(), BOUNDS)
    assert set(life.tests) == {"errors", "proof"} and life.tests["errors"].accepted[0] == BOUNDS.max_error_rate
    for _ in range(300):
        life = life.observe(answered(20), 1.0, BOUNDS)
    assert life.past.requests == ENOUGH_PAST and set(life.tests) == {"errors", "proof", "slow", "refused"}
    assert not life.suspected() and not life.proved() and life.rate == pytest.approx(20, rel=0.1)


def test_errors_are_not_learnt():
    life = Life.start(3, Arm(1000, 10, Latencies.of([5.0] * 990)), BOUNDS)
    for _ in range(60):
        life = life.observe(answered(5, errors=2), 1.0, BOUNDS)
    assert life.past.requests < 1100 and life.proved()


@pytest.mark.parametrize(
    ("arm", "names"),
    [
        (answered(10, errors=3), {"errors"}),
        (answered(10, ms=9.0), {"slow"}),
        (Arm(7, 0, Latencies.of([5.0] * 7), refused=3), {"refused"}),
        (answered(10), set()),
        (Arm(), set()),
    ],
)
def test_what_rises_above_the_past_is_suspected(arm: Arm, names: set[str]):
    life = Life.start(3, PAST, BOUNDS)
    for _ in range(10):
        life = life.observe(arm, 1.0, BOUNDS)
    assert set(life.suspected()) == names
    again = Life.from_json(json.loads(json.dumps(life.to_json())))
    assert again.observe(arm, 1.0, BOUNDS).to_json() == life.observe(arm, 1.0, BOUNDS).to_json()


def test_silence_changes_nothing_but_the_time():
    life = Life.start(3, PAST, BOUNDS)
    for _ in range(10):
        life = life.observe(Arm(), 60.0, BOUNDS)
    assert not life.recent and life.idle_s == 600 and not life.suspected()


def test_the_kept_looks_lead_from_the_tests_before_to_those_after():
    life = Life.start(3, PAST, BOUNDS)
    for number in range(300):  # more than are kept
        life = life.observe(answered(10, errors=number % 3 == 0), 1.0, BOUNDS)
    tests = dict(life.begun)
    for look in life.recent:
        tests = step(tests, look)
    assert {name: test.to_json() for name, test in tests.items()} == {name: test.to_json() for name, test in life.tests.items()}


def test_a_champion_that_fails_where_the_version_before_does_not_is_taken_back():
    found = tried(errors=(0, 2))
    verdict = verdicts.verdict(found)
    assert verdict.decision is Decision.ROLLBACK
    assert verdict.reasons[-1] == "Production goes back from version 3 to version 2."
    assert any("failed lately" in reason for reason in verdict.reasons)


def test_it_stays_where_the_version_before_is_no_better():
    verdict = verdicts.verdict(tried(errors=(2, 2)))
    assert verdict.decision is Decision.PASS and "no better" in verdict.reasons[-1]


def test_it_stays_where_the_same_requests_show_nothing():
    verdict = verdicts.verdict(tried(errors=(0, 0)))
    assert verdict.decision is Decision.PASS and "no worse than chance allows" in verdict.reasons[-1]


def test_a_slow_champion_is_taken_back_only_by_comparison():
    assert verdicts.verdict(tried(ms=(5.0, 9.0))).decision is Decision.ROLLBACK
    assert verdicts.verdict(tried(ms=(9.0, 9.0))).decision is Decision.PASS  # the machine is slow
    life = Life.start(3, PAST, BOUNDS)
    for _ in range(500):
        life = life.observe(answered(10, ms=9.0), 1.0, BOUNDS)
    assert not life.proved()


def test_what_hinders_the_way_back_is_said():
    verdict = verdicts.verdict(tried(errors=(0, 2), hindrance="a person holds it."))
    assert verdict.decision is Decision.FAIL and verdict.reasons[-1] == "Nothing was done: a person holds it."


def test_errors_prove_themselves_where_nothing_stands_by():
    life = suspected(errors=5)
    while not life.proved():
        life = life.observe(answered(10, errors=5), 1.0, BOUNDS)
    assert verdicts.verdict(verdicts.evidence(life, 2, None, ())).decision is Decision.ROLLBACK


@pytest.mark.parametrize("found", [tried(errors=(0, 2)), tried(errors=(2, 2)), tried(errors=(0, 0), hindrance="held.")])
def test_every_verdict_comes_out_of_its_evidence_again(found: verdicts.Json):
    body = json.loads(json.dumps(verdicts.verdict(found).to_json()))
    assert complete("watch", body["evidence"]) and difference("watch", body) is None
    body["evidence"]["opening"]["recent"] = []
    assert difference("watch", body)


def test_all_trials_of_a_life_share_one_alpha():
    alphas = [verdicts.trial_plan(Canary(), number, 5).alpha for number in range(1, 2000)]
    assert sum(alphas) < ALPHA / 2 and sum(alphas) == pytest.approx(ALPHA / 2, rel=0.01)


@pytest.mark.parametrize(("rate", "seconds"), [(500, 60), (5, 300), (0.01, 3600), (0, 3600)])
def test_a_trial_is_long_enough_for_its_traffic(rate: float, seconds: float):
    plan = verdicts.trial_plan(Canary(), 1, rate)
    assert plan.duration_s == pytest.approx(seconds) and plan.look_s * verdicts.LOOKS == pytest.approx(seconds)


def test_a_look_of_a_trial_must_be_one():
    found = tried(errors=(0, 2))
    found["looks"].append(Look(1.0, 0, 50, Arm(), Arm()).to_json())
    problem = difference("watch", {"decision": "ROLLBACK", "reasons": [], "rules": [], "evidence": found})
    assert problem is not None and "later" in problem.said


def test_bounds_are_the_canarys():
    assert Bounds() == Bounds(Canary().max_error_rate, Canary().latency_tolerance)
