"""Which trials are given up, and when the next begins."""

from dataclasses import replace

import pytest

from include.search.order import Turn, awaited, turn, wait_s
from include.search.plan import Axis, Plan, SearchState, Trial
from include.search.pruning import bars, gives_up, rungs

PLAN = Plan({"c": Axis(0, 1)}, {"c": 0.5}, 100, 4, "tpe", 0, "accuracy", True, 9, reduction=3, warm_up=3)


def complete(number: int, *values: float, seconds: float = 10.0) -> Trial:
    return Trial(number, {"c": 0.1}, SearchState.COMPLETE, values[-1], dict(enumerate(values, 1)), seconds=seconds)


def test_rungs_grow_by_the_reduction_and_the_last_step_is_none():
    assert rungs(PLAN, 9) == [1, 3] and rungs(PLAN, 10) == [1, 3, 9]
    assert rungs(replace(PLAN, reduction=0), 9) == []


def test_the_best_third_goes_on():
    trials = [complete(number, number / 10, *[number / 10] * 8) for number in range(8)]
    found = bars(PLAN, trials)
    assert found == {1: 0.5, 3: 0.5}, "of nine, the new one among them, three go on: 0.7, 0.6, and whoever reaches 0.5"
    assert not gives_up(1, 0.5, found, maximize=True) and gives_up(1, 0.49, found, maximize=True)
    assert not gives_up(2, 0.0, found, maximize=True), "no rung"
    assert gives_up(3, float("nan"), found, maximize=True)


def test_less_may_be_better():
    found = bars(replace(PLAN, maximize=False), [complete(number, number / 10, 0.0, 0.0, 0.0) for number in range(8)])
    assert found[1] == pytest.approx(0.2)
    assert gives_up(1, 0.3, found, maximize=False) and not gives_up(1, 0.2, found, maximize=False)


def test_nobody_is_given_up_while_few_have_come_so_far():
    assert bars(PLAN, [complete(0, 0.9, 0.9), complete(1, 0.9, 0.9)]) == {}


def test_those_that_failed_or_go_on_set_no_bar():
    others = [Trial(3, {"c": 0.1}, SearchState.FAILED, steps={1: 9.0}), Trial(4, {"c": 0.1})]
    trials = [complete(number, 0.1, 0.1) for number in range(3)]
    assert bars(PLAN, [*trials, *others]) == bars(PLAN, trials)


def test_a_trial_waits_for_all_but_those_that_may_run_beside_it():
    trials = [complete(0, 0.5), *(Trial(number, {"c": 0.1}) for number in range(1, 5))]
    assert turn(PLAN, trials[:4], 3, time_is_over=False) is Turn.BEGIN
    assert turn(PLAN, trials, 5, time_is_over=False) is Turn.WAIT and awaited(PLAN, trials, 5) == [1]
    assert turn(PLAN, trials, 5, time_is_over=True) is Turn.LEFT_OUT


def test_a_long_trial_is_asked_for_seldom_and_a_short_one_soon():
    trials = [complete(0, 0.5), *(Trial(number, {"c": 0.1}) for number in range(1, 5))]
    assert wait_s(PLAN, trials, 5, {1: 1.0}) == 2.0
    assert wait_s(PLAN, trials, 5, {1: 1000.0}) == 200.0
    assert wait_s(PLAN, trials, 50, {1: 10.0}) > 60, "whoever is far behind does not come back every two seconds"
    assert wait_s(PLAN, trials, 50, {1: 1e6}) == 600.0
