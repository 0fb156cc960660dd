"""What the judge promises of a table's answers: harm that answers 200, fast and wrong is found, and chance alone rarely is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.judge import answers as simulated
from bench.judge.simulate import Scenario
from include.canary import spending
from include.canary.answers_test import allowed, upper_bound
from include.canary.compared import SHOWN, Compared, Pair
from include.canary.judge import judge
from include.canary.observations import Arm, Latencies, Look
from include.canary.plan import AnswersPlan, TrialPlan
from include.canary.progress import Progress
from include.canary.trial import Trial
from include.canary.verdicts import recompute
from include.errors import InputError
from include.verdict import Decision

ANSWERS = AnswersPlan(rows=400, differ=4)
PLAN = TrialPlan(steps=(50,), step_s=60, look_s=5, error_tolerance=0.05, answers=ANSWERS)
PAIRS = tuple(Pair(f"input [{number}.0]", "1", "0") for number in range(4))


def looks(plan: TrialPlan = PLAN, differ: int = 0, rows: int = 20):
    """Arms that are alike in all but their answers: ``differ`` of the ``rows`` of each look."""
    arm = Arm(300, 0, Latencies.of(5.0 + number % 7 for number in range(300)))
    for index in range(1, round(plan.duration_s / plan.look_s) + 1):
        yield Look(index * plan.look_s, 0, 50, arm, arm, compared=Compared(rows, differ, PAIRS[:differ]))


def test_no_test_has_more_than_its_share_of_alpha():
    assert sum(vars(spending.TABLE_ANSWERS).values()) == pytest.approx(1)


@pytest.mark.parametrize(("seen", "rows", "bound"), [(0, 100, 0.0295), (5, 100, 0.1023), (1, 10, 0.3942), (10, 10, 1.0)])
def test_the_bound_of_the_held_out_share_is_clopper_and_pearsons(seen, rows, bound):
    assert upper_bound(seen, rows, 0.05) == pytest.approx(bound, abs=1e-3)


@pytest.mark.slow
def test_no_more_than_alpha_of_the_trials_cry_wolf_over_versions_that_differ_as_the_margin_allows():
    runs, alpha = 1000, simulated.PLAN.alpha * spending.TABLE_ANSWERS.answers
    found = np.isfinite(simulated.detect(Scenario("", 1), runs, np.random.default_rng(0)))
    assert found.mean() <= alpha + 3 * np.sqrt(alpha / runs)


@pytest.mark.slow
def test_five_per_cent_of_broken_answers_are_found_within_the_hour_at_one_request_a_second():
    broken = Scenario("", 0.5, differ=0.01, live_differ=0.01 + 0.05 * 0.99)
    assert np.isfinite(simulated.detect(broken, 200, np.random.default_rng(1))).mean() >= 0.9


def test_answers_as_unlike_as_on_held_out_rows_are_promoted():
    verdict = judge(looks(rows=100, differ=1), PLAN)
    assert verdict.decision is Decision.PROMOTE
    rule = next(rule for rule in verdict.rules if rule.name == "answers")
    assert rule.passed and rule.figure == "1 % of live rows differ"


def test_wrong_answers_alone_roll_back_with_three_rows_side_by_side():
    verdict = judge(looks(differ=4), PLAN)
    assert verdict.decision is Decision.ROLLBACK and set(verdict.evidence["alarms"]) == {"answers"}
    [reason] = verdict.reasons
    assert "on held-out rows they differ in 4 of 400" in reason
    assert reason.count("canary 0, stable 1.") == 3
    assert verdict.evidence["compared"]["rows"] == verdict.evidence["series"][-1]["compared"]


def test_a_version_that_has_every_answer_wrong_is_found_in_a_few_rows():
    trial = Trial.start(PLAN)
    for look in looks(differ=4, rows=4):
        trial = trial.observe(look)
        if trial.alarms:
            break
    assert set(trial.alarms) == {"answers"} and trial.answers.compared.rows <= 8


@pytest.mark.parametrize(
    ("answers", "rows", "says"),
    [
        (
            replace(ANSWERS, rows=0, differ=0, unknown="champion 3 has seen every held-out row."),
            20,
            "champion 3 has seen every held-out row.",
        ),
        (ANSWERS, 0, "no live request was answered by both arms"),
    ],
    ids=["no held-out rows", "no live rows"],
)
def test_where_nothing_can_be_said_the_verdict_says_so_and_calls_it_no_pass(answers, rows, says):
    verdict = judge(looks(PLAN, rows=rows), replace(PLAN, answers=answers))
    assert verdict.decision is Decision.PROMOTE
    assert not [rule for rule in verdict.rules if rule.name == "answers"]
    assert any("answers: not known" in reason and says in reason for reason in verdict.reasons)


def test_a_spec_that_asks_for_no_requests_hears_nothing_of_answers():
    verdict = judge(looks(rows=0), replace(PLAN, answers=replace(ANSWERS, requests=0)))
    assert not any("answers" in reason for reason in verdict.reasons)


def test_a_trial_goes_on_from_its_json_at_any_look_and_is_judged_again_equal():
    whole = json.loads(json.dumps(judge(looks(differ=1), PLAN).to_json()))
    trial, bodies = Trial.start(PLAN), []
    for look in looks(differ=1):
        trial = Trial.from_json(json.loads(json.dumps(trial.to_json()))).observe(look)
        bodies.append({"look": json.loads(json.dumps(look.to_json()))})
        if trial.alarms:
            break
    else:
        assert json.loads(json.dumps(trial.verdict().to_json())) == whole
    assert json.loads(json.dumps(recompute(trial.verdict().evidence, bodies).to_json())) == json.loads(
        json.dumps(trial.verdict().to_json())
    )


def test_the_kept_looks_say_what_was_known_of_the_held_out_rows():
    """The spec alone can't: the page and the report judge again by the plan that the first look was kept with."""
    look = next(looks(differ=4))
    bodies = [{"look": look.to_json(), "passed_s": look.at_s, "plan": PLAN.to_json()}]
    assert Progress.start(replace(PLAN, answers=None)).take(bodies).verdict() == Progress.start(PLAN).observe(look, look.at_s).verdict()


def test_a_trial_of_before_has_no_such_test_and_comes_out_as_it_did():
    plan = replace(PLAN, answers=None)
    stored = TrialPlan.from_json({name: value for name, value in PLAN.to_json().items() if name != "answers"})
    assert stored == plan and "answers" not in plan.to_json()
    trial = Trial.start(plan)
    assert "answers" not in trial.to_json()
    for look in looks(plan, rows=0):
        trial = trial.observe(look)
    assert "compared" not in trial.verdict().evidence and not any("answers" in reason for reason in trial.verdict().reasons)
    assert "compared" not in look.to_json()


def test_few_held_out_rows_allow_more_and_all_of_them_everything():
    few, many = (allowed(replace(ANSWERS, rows=rows, differ=rows // 100), 0.05) for rows in (100, 10_000))
    assert 0.02 < many < 0.03 < few
    assert allowed(replace(ANSWERS, differ=400), 0.05) == 1.0


def test_more_differing_rows_than_rows_are_refused():
    with pytest.raises(InputError):
        Trial.start(PLAN).observe(next(looks(differ=4, rows=2)))
    with pytest.raises(InputError):
        replace(ANSWERS, differ=401)


def test_a_bounded_number_of_examples_is_kept():
    seen = sum((Compared(4, 4, PAIRS) for _ in range(10)), Compared())
    assert (seen.rows, seen.differ, len(seen.examples)) == (40, 40, SHOWN)
