"""What the judge promises."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.canary.judge import judge
from include.canary.observations import Arm, Latencies, Look
from include.canary.plan import TrialPlan
from include.canary.trial import Trial
from include.errors import InputError
from include.spec.schema import Canary
from include.verdict import Decision, Verdict
from tests.include.canary.simulated import DEMO, looks, run

SMALL = TrialPlan(steps=(50,), step_s=40, look_s=10, min_requests=10, max_error_rate=1.0, error_tolerance=0.5)
REFUSING = TrialPlan(steps=(20,), step_s=100, look_s=5)
RANK = {Decision.PROMOTE: 0, Decision.INCONCLUSIVE: 1, Decision.CONTINUE: 1, Decision.ROLLBACK: 2}


def arm(requests: int, errors: int, ms: float = 10.0) -> Arm:
    return Arm(requests, errors, Latencies.of([ms] * (requests - errors)))


def four(stable: list[tuple[int, int]], canary: list[tuple[int, int]]) -> list[Look]:
    return [Look(10.0 * (i + 1), 0, 50, arm(*s), arm(*c)) for i, (s, c) in enumerate(zip(stable, canary, strict=True))]


counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
arms = st.lists(counts, min_size=4, max_size=4)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arms, arms)
def test_a_canary_with_every_request_failed_is_never_judged_better(stable: list[tuple[int, int]], canary: list[tuple[int, int]]) -> None:
    worse = [(n, n) for n, _ in canary]
    assert RANK[judge(four(stable, worse), SMALL).decision] >= RANK[judge(four(stable, canary), SMALL).decision]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(20, 200), st.integers(0, 10), st.integers(0, 20), st.integers(1, 20))
def test_more_errors_on_the_canary_never_help_it(n: int, stable_errors: int, errors: int, more: int) -> None:
    more = min(n, errors + more)
    errors = min(n, errors)
    before = judge(four([(n, stable_errors)] * 4, [(n, errors)] * 4), SMALL).decision
    after = judge(four([(n, stable_errors)] * 4, [(n, max(errors, more))] * 4), SMALL).decision
    assert RANK[after] >= RANK[before]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arms)
def test_two_arms_alike_are_never_rolled_back(same: list[tuple[int, int]]) -> None:
    assert judge(four(same, same), SMALL).decision is not Decision.ROLLBACK


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arms, arms)
def test_at_no_look_is_each_arm_worse_than_the_other(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    there, back = Trial.start(SMALL), Trial.start(SMALL)
    for look, swapped in zip(four(one, other), four(other, one), strict=True):
        there, back = there.observe(look), back.observe(swapped)
        assert not (there.errors.crossed(0.0)[0] and back.errors.crossed(0.0)[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(counts, counts), min_size=2, max_size=2))
def test_looks_of_one_step_may_be_merged_without_changing_the_estimate(parts: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """Two looks with the same split of traffic tell together what they tell apart."""
    (n, e), (_, f) = parts[0][0], parts[1][0]
    f = min(f, n)
    apart = [Look(10.0, 0, 50, arm(n, 0), arm(n, e)), Look(20.0, 0, 50, arm(n, 0), arm(n, f))]
    together = [Look(20.0, 0, 50, arm(2 * n, 0), arm(2 * n, e + f))]
    harm = [judge(stream, SMALL).evidence["series"][-1]["error_harm"] for stream in (apart, together)]
    assert harm[0] == pytest.approx(harm[1])


@pytest.mark.parametrize("stop", [1, 7, 20, 35])
def test_a_trial_restored_in_the_middle_goes_on_as_if_nothing_had_happened(stop: int) -> None:
    stream = list(looks(DEMO, 60, stable_errors=0.01, canary_errors=0.02, seed=stop))
    straight = Trial.start(DEMO)
    for look in stream:
        straight = straight.observe(look)
    broken = Trial.start(DEMO)
    for index, look in enumerate(stream):
        if index == stop:
            broken = Trial.from_json(json.loads(json.dumps(broken.to_json())))
        broken = broken.observe(look)
    assert broken.verdict() == straight.verdict() == judge(stream, DEMO)


def test_a_verdict_is_json() -> None:
    verdict = judge(looks(DEMO, 60), DEMO)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))).decision is verdict.decision


@pytest.mark.slow
def test_an_equally_good_canary_with_six_hundred_requests_is_promoted() -> None:
    decisions = [run(DEMO, looks(DEMO, 60, seed=seed)).verdict().decision for seed in range(20)]
    assert decisions == [Decision.PROMOTE] * 20


@pytest.mark.parametrize(("error_rate", "added_ms", "seconds"), [(0.15, 40, 3), (0.30, 40, 3), (0.30, 0, 6), (0.15, 0, 12), (0.0, 40, 3)])
def test_a_plain_outage_is_found_within_seconds(error_rate: float, added_ms: float, seconds: float) -> None:
    trials = [run(DEMO, looks(DEMO, 60, canary_errors=error_rate, added_ms=added_ms, seed=seed)) for seed in range(20)]
    assert all(trial.verdict().decision is Decision.ROLLBACK for trial in trials)
    assert max(trial.at_s for trial in trials) <= seconds


def test_three_failures_of_three_requests_do_not_wait() -> None:
    plan = TrialPlan()
    verdict = judge([Look(10, 0, 10, arm(0, 0), arm(3, 3))], plan)
    assert verdict.decision is Decision.ROLLBACK
    assert verdict.reasons[0].startswith("error limit: 100 % (3 of 3)")


def test_one_failure_of_three_requests_waits() -> None:
    assert judge([Look(10, 0, 10, arm(27, 0), arm(3, 1))], TrialPlan()).decision is Decision.CONTINUE


def test_a_p99_certainly_over_its_limit_rolls_back() -> None:
    plan = replace(DEMO, max_p99_ms=50.0)
    trial = run(plan, iter([Look(1.0 * (i + 1), 0, 10, arm(50, 0, 60.0), arm(6, 0, 60.0)) for i in range(5)]))
    assert "p99 limit" in trial.alarms
    assert "errors" not in trial.alarms


@pytest.mark.parametrize(
    ("stable", "canary", "word"),
    [
        (Arm(), Arm(), "got no request"),
        (arm(50, 0), Arm(), "the canary got no request"),
        (Arm(), arm(50, 0), "stable got no request"),
        (Arm(50, 0), Arm(50, 0), "latency cannot be compared"),
        (arm(50, 0), arm(2, 0), "no fewer than"),
    ],
)
def test_missing_data_never_passes(stable: Arm, canary: Arm, word: str) -> None:
    verdict = judge([Look(10.0 * (i + 1), 0, 50, stable, canary) for i in range(4)], SMALL)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert word in " ".join(verdict.reasons)


def test_both_arms_failing_is_said() -> None:
    plan = replace(SMALL, max_error_rate=0.01)
    verdict = judge([Look(10.0 * (i + 1), 0, 50, arm(50, 25), arm(50, 25)) for i in range(4)], plan)
    assert verdict.decision is Decision.ROLLBACK
    assert "errors" not in verdict.evidence["alarms"]
    assert "stable itself is failing: 50 % (100 of 200)" in verdict.reasons[-1]


def test_nothing_is_promoted_before_the_end() -> None:
    verdict = judge([Look(10.0 * (i + 1), 0, 50, arm(5000, 0), arm(5000, 0)) for i in range(3)], SMALL)
    assert verdict.decision is Decision.CONTINUE


def test_an_alarm_is_not_taken_back() -> None:
    bad, good = Look(10, 0, 50, arm(50, 0), arm(50, 40)), [Look(10.0 * (i + 2), 0, 50, arm(9000, 0), arm(9000, 0)) for i in range(3)]
    assert judge([bad, *good], SMALL).decision is Decision.ROLLBACK


def test_harm_within_the_margin_is_tolerated_and_beyond_it_is_not() -> None:
    plan = replace(SMALL, error_margin=0.05)
    within = judge([Look(10.0 * (i + 1), 0, 50, arm(2000, 20), arm(2000, 100)) for i in range(4)], plan)
    beyond = judge([Look(10.0 * (i + 1), 0, 50, arm(2000, 20), arm(2000, 200)) for i in range(4)], plan)
    assert (within.decision, beyond.decision) == (Decision.PROMOTE, Decision.ROLLBACK)


def test_the_reason_names_figures_and_margin() -> None:
    verdict = judge([Look(10.0 * (i + 1), 0, 50, arm(500, 2), arm(500, 30)) for i in range(4)], SMALL)
    assert verdict.reasons[0].startswith("errors: canary 6 % (30 of 500) against stable 0.4 % (2 of 500): the harm is at least")
    assert verdict.reasons[0].endswith("over the margin of 0 percentage points.")


def test_every_look_is_a_point_of_the_series() -> None:
    verdict = judge(looks(DEMO, 60), DEMO)
    assert [point["at_s"] for point in verdict.evidence["series"]] == [float(i) for i in range(1, 37)]
    assert {"error_harm_lower", "error_harm_upper", "latency_harm_lower", "canary_p99_ms"} <= set(verdict.evidence["series"][-1])


@pytest.mark.parametrize(
    "look",
    [Look(10, 5, 50, Arm(), Arm()), Look(10, 0, 50, Arm(3, 4), Arm()), Look(10, 0, 50, Arm(), Arm(-1, 0))],
    ids=["unknown step", "more failures than requests", "negative"],
)
def test_an_impossible_look_is_refused(look: Look) -> None:
    with pytest.raises(InputError):
        Trial.start(SMALL).observe(look)


def test_a_look_given_twice_is_refused() -> None:
    look = Look(10, 0, 50, arm(5, 0), arm(5, 0))
    with pytest.raises(InputError, match="not later"):
        Trial.start(SMALL).observe(look).observe(look)


@pytest.mark.slow
def test_a_look_stays_cheap_after_hundreds() -> None:
    plan = TrialPlan(steps=(50,), step_s=3600, look_s=10)
    stream = list(looks(plan, 20, stable_errors=0.005, canary_errors=0.005))
    trial = Trial.start(plan)
    for look in stream[:-30]:
        trial = trial.observe(look)
    started = time.process_time()
    for look in stream[-30:]:
        trial = trial.observe(look)
    assert (time.process_time() - started) / 30 < 0.050


def test_a_plan_is_made_from_the_spec() -> None:
    plan = TrialPlan.from_spec(Canary(steps=(5, 20), step_s=60, look_s=5))
    assert (plan.steps, plan.duration_s, plan.on_inconclusive) == ((5, 20), 120, "rollback")
    assert TrialPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    "fields", [{"steps": ()}, {"steps": (50, 10)}, {"look_s": 700}, {"alpha": 0.0}, {"error_tolerance": 0.0}, {"latency_margin": 0.3}]
)
def test_a_plan_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TrialPlan(**fields)  # type: ignore[arg-type]


def test_refusals_that_stable_does_not_give_are_harm() -> None:
    trial = Trial.start(REFUSING)
    for look in range(1, 20):
        canary = replace(arm(80, 0), refused=20)
        trial = trial.observe(Look(look * 5.0, 0, REFUSING.steps[0], arm(400, 0), canary))
        if trial.alarms:
            break
    verdict = trial.verdict()
    assert verdict.decision is Decision.ROLLBACK and look < 5
    assert "the canary refused 20 % (" in verdict.reasons[0] and "4xx" in verdict.reasons[0]
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))).verdict() == verdict


def test_refusals_that_both_give_are_the_callers_own() -> None:
    trial = Trial.start(REFUSING)
    for look in range(1, 20):
        trial = trial.observe(Look(look * 5.0, 0, REFUSING.steps[0], replace(arm(400, 0), refused=100), replace(arm(80, 0), refused=20)))
    assert not trial.alarms and next(rule for rule in trial.verdict().rules if rule.name == "refusals").passed


def test_a_canary_that_refuses_everything_is_told_apart_from_one_without_traffic() -> None:
    trial = Trial.start(REFUSING).observe(Look(5.0, 0, REFUSING.steps[0], arm(40, 0), Arm(refused=1)))
    rule = next(rule for rule in trial.verdict().rules if rule.name == "requests")
    assert "the canary took no request: it refused 100 % (1 of 1)" in rule.detail


def test_a_trial_stored_before_refusals_were_counted_goes_on() -> None:
    stored = Trial.start(REFUSING).observe(Look(5.0, 0, REFUSING.steps[0], arm(40, 0), arm(10, 0))).to_json()
    del stored["refused"]
    Trial.from_json(stored).observe(Look(10.0, 0, REFUSING.steps[0], arm(40, 0), arm(10, 0)))
