"""The judge's sentences read right at both ends of their figures."""

import pytest

from include.canary import wording
from include.canary.observations import Arm, Latencies, Look
from include.canary.plan import TrialPlan
from include.canary.trial import Trial
from include.kinds.forms.speed import faster
from include.numerals import significant
from include.verdict import Decision


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (0.05, "at most 5 % slower"),
        (0.0, "at most 0 % slower"),
        (-0.028, "at least 2.8 % faster"),
        (2.0, "at most 3 times as slow"),
        (1e9, "no bound yet"),
    ],
)
def test_an_upper_bound_below_zero_is_a_gain(harm: float, told: str) -> None:
    assert wording.at_most_slower(harm) == told


@pytest.mark.parametrize(
    ("upper", "told"),
    [
        (0.004, "harm at most 0.4 percentage points"),
        (0.01, "harm at most 1 percentage point"),
        (-0.053, "at least 5.3 percentage points fewer errors"),
    ],
)
def test_no_harm_is_below_zero(upper: float, told: str) -> None:
    assert wording.at_most_harm(upper) == told


def test_a_canary_that_nobody_asked_is_said_to_be_unknown_and_not_faultless() -> None:
    plan = TrialPlan(steps=(50,), step_s=10, look_s=10, min_requests=10)
    verdict = Trial.start(plan).observe(Look(10.0, 0, 50, Arm(50, 0, Latencies.of([2.0] * 50)), Arm(0, 0))).verdict()
    assert verdict.decision is Decision.INCONCLUSIVE
    [rule] = [rule for rule in verdict.rules if rule.name == "error limit"]
    assert rule.passed is None and rule.detail == "the canary answered no request, so nothing is known of its errors."


@pytest.mark.parametrize(
    ("harm", "words"), [(0.12, "12 % slower"), (11.4, "12.4 times as slow"), (22.22, "23.2 times as slow"), (1139, "1140 times as slow")]
)
def test_a_slowdown_beyond_double_is_a_factor_and_has_no_exponent(harm: float, words: str) -> None:
    assert wording.slower(harm) == words


@pytest.mark.parametrize(
    ("value", "words"), [(1140.2, "1140"), (12.345, "12.35"), (0.5, "0.5"), (1.5e15, "1.5e+15"), (float("nan"), "nan")]
)
def test_large_numbers_are_written_whole(value: float, words: str) -> None:
    assert significant(value) == words


def test_shares_have_no_exponent() -> None:
    assert (wording.percent(11.4), wording.points(1.0)) == ("1140 %", "100 percentage points")


def test_a_trial_that_goes_on_says_what_is_seen_and_what_is_not_proven_yet() -> None:
    plan = TrialPlan(steps=(50,), step_s=40, look_s=10, min_requests=1000)
    fast, slow = Arm(20, 0, Latencies.of([1.8] * 20)), Arm(3, 0, Latencies.of([41.8] * 3))
    verdict = Trial.start(plan).observe(Look(10.0, 0, 50, fast, slow)).verdict()
    seen, unproven = verdict.reasons
    assert verdict.decision is Decision.CONTINUE
    assert "speaks" not in seen and "41.8 ms against 1.8 ms" in seen
    assert unproven.startswith("Not proven yet, and decided at the end, after 40 s: requests: the canary got 3 requests")
    assert "latency: the canary may be" in unproven


def test_a_trial_with_too_few_answers_says_how_fast_they_came_and_what_would_be_long_enough() -> None:
    plan = TrialPlan(steps=(50,), step_s=40, look_s=10, min_requests=100)
    trial = Trial.start(plan)
    for at in (10.0, 20.0, 30.0, 40.0):
        trial = trial.observe(Look(at, 0, 50, *(Arm(5, 0, Latencies.of([2.0] * 5)) for _ in range(2))))
    verdict = trial.verdict()
    assert verdict.decision is Decision.INCONCLUSIVE
    assert "requests: the canary got 20 requests; it is promoted on no fewer than 100." in verdict.reasons[0]
    assert verdict.reasons[0].endswith(" Both arms answered 1 a second: steps of 200 s (`canary.step_s`) would do.")


@pytest.mark.parametrize(
    ("times", "words"), [(1.0, "measurably faster"), (1.5, "at least 1.5 times as fast, at its interval's lower end too")]
)
def test_nothing_is_said_to_be_once_as_fast(times: float, words: str) -> None:
    assert faster(times) == words
