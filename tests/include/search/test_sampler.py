"""What is tried next: the same whatever was killed, and however long each trial takes."""

import random
from dataclasses import replace

import pytest

from include.search.plan import Axis, Plan, SearchState, Trial, best
from include.search.sampler import ask

AXES = {"c": Axis(1e-3, 1e3, log=True), "depth": Axis(2, 12, step=2, whole=True), "kind": Axis(choices=("a", "b", "c"))}
PLAN = Plan(AXES, {"c": 1.0, "depth": 5, "kind": "b"}, 24, 3, "tpe", 7, "accuracy", True, 5)
NUMBERS = replace(PLAN, axes={name: AXES[name] for name in ("c", "depth")}, first={"c": 1.0, "depth": 4})


def judged(trial: Trial) -> Trial:
    """The same value for the same parameters; a few fail or are given up."""
    draw = random.Random(str(sorted(trial.params.items())))
    value = -abs(float(trial.params.get("c", 1)) - 3) / 100 + draw.random() / 10
    state = SearchState.FAILED if trial.number == 4 else SearchState.PRUNED if trial.number == 6 else SearchState.COMPLETE
    return replace(trial, state=state, value=value if state is SearchState.COMPLETE else None, steps={1: value})


def searched(plan: Plan, order: random.Random | None = None) -> list[Trial]:
    """The search with up to ``parallel`` trials at once, which end in the order that ``order`` draws (as they began without one)."""
    trials: list[Trial] = []
    going: list[int] = []
    while len(trials) < plan.count or going:
        ended = all(trial.state is not SearchState.RUNNING for trial in trials[: plan.known_at(len(trials))])
        if len(trials) < plan.count and ended and len(going) < plan.parallel:
            trials.append(Trial(len(trials), ask(plan, trials)))
            going.append(len(trials) - 1)
            continue
        number = going.pop(order.randrange(len(going)) if order else 0)
        trials[number] = judged(trials[number])
    return trials


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, sampler="random"), replace(NUMBERS, sampler="cmaes")], ids=lambda plan: plan.sampler)
def test_the_order_in_which_trials_end_changes_nothing(plan):
    plain = searched(plan)
    assert searched(plan, random.Random(1)) == plain == searched(plan, random.Random(2))
    assert len({str(trial.params) for trial in plain}) == len(plain) or plan.sampler == "cmaes", "nothing is tried twice"


def test_another_seed_is_another_search():
    assert searched(PLAN)[1].params != searched(replace(PLAN, seed=8))[1].params


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_every_value_is_one_that_the_space_has(sampler):
    plan = replace(NUMBERS if sampler == "cmaes" else PLAN, sampler=sampler)
    for trial in searched(plan)[1:]:
        assert 1e-3 <= trial.params["c"] <= 1e3
        assert type(trial.params["depth"]) is int and trial.params["depth"] in range(2, 13, 2)
        assert trial.params.get("kind", "a") in ("a", "b", "c")


def test_the_first_trial_has_the_runs_own_values():
    assert searched(PLAN)[0].params == {"c": 1.0, "depth": 5, "kind": "b"}


def test_a_grid_tries_each_point_once_and_the_runs_own_first():
    plan = replace(PLAN, axes={name: AXES[name] for name in ("depth", "kind")}, first={"depth": 4, "kind": "b"}, sampler="grid", trials=100)
    assert plan.count == 18
    tried = [tuple(trial.params.values()) for trial in searched(plan)]
    assert tried[0] == (4, "b") and len(set(tried)) == len(tried) == 18
    assert len(searched(replace(plan, trials=7))) == 7


def test_a_trial_does_not_begin_before_those_that_it_must_know_have_ended():
    trials = [Trial(number, dict(PLAN.first)) for number in range(3)]
    with pytest.raises(ValueError, match="trial 0 has not ended"):
        ask(PLAN, trials)


def test_the_search_learns():
    """Better than at random, over several seeds: else the history is not reaching the sampler."""

    def quality(sampler: str, seed: int) -> float:
        plan, trials = replace(NUMBERS, sampler=sampler, seed=seed, parallel=1, trials=30, maximize=False), []
        for number in range(plan.trials):
            params = ask(plan, trials)
            value = (float(params["c"]) ** 0.1 - 1.3) ** 2 + (int(params["depth"]) - 8) ** 2 / 100
            trials.append(Trial(number, params, SearchState.COMPLETE, value))
        return best(trials, maximize=False).value

    seeds = range(5)
    assert sum(quality("tpe", seed) for seed in seeds) < sum(quality("random", seed) for seed in seeds)
    assert sum(quality("cmaes", seed) for seed in seeds) < sum(quality("random", seed) for seed in seeds)


def test_the_best_is_the_earliest_of_equals_and_never_one_that_failed():
    trials = [
        Trial(0, {}, SearchState.FAILED),
        Trial(1, {}, SearchState.COMPLETE, 0.5),
        Trial(2, {}, SearchState.COMPLETE, 0.5),
        Trial(3, {}, SearchState.PRUNED),
    ]
    assert best(trials, maximize=True).number == 1
    assert best(trials[:1], maximize=True) is None
    assert best([*trials, Trial(4, {}, SearchState.COMPLETE, float("nan"))], maximize=False).number == 1


def test_plans_and_trials_come_back_from_json():
    assert Plan.from_json(PLAN.to_json()) == PLAN
    for trial in searched(replace(PLAN, trials=8)):
        assert Trial.from_json(trial.to_json()) == trial


def test_points_of_steps_are_those_that_are_written_in_decimals():
    tenths = Axis(0.0, 0.6, step=0.1)
    assert tenths.grid() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "none twice beside a default of 0.3, and none beyond the end"
    assert Axis(0.1, 1.0, step=0.3).grid() == (0.1, 0.4, 0.7, 1.0)
    grid = replace(PLAN, axes={"rate": tenths}, first={"rate": 0.3}, sampler="grid", trials=100)
    assert grid.count == 7 and sorted(trial.params["rate"] for trial in searched(grid)) == list(tenths.grid())


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_no_sampler_leaves_the_points_of_steps(sampler):
    tenths = Axis(0.0, 0.6, step=0.1)
    plan = replace(PLAN, axes={"rate": tenths, "depth": AXES["depth"]}, first={"rate": 0.3, "depth": 4}, sampler=sampler, trials=12)
    trials: list[Trial] = []
    for number in range(12):
        params = ask(plan, trials)
        trials.append(Trial(number, params, SearchState.COMPLETE, params["rate"] * params["depth"]))
    assert {trial.params["rate"] for trial in trials} <= set(tenths.grid())
