"""Searches of a table at equal trials: Updraft's, plain Optuna's, and at random. Each sees one seed's value of a row, drawn by the rerun,
and is judged by the mean over the seeds of the row that it chose."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.search.tables import Table
from include.search.plan import Params, Plan, SearchState, Trial, best
from include.search.sampler import ask, distributions


def seen(table: Table, params: Params, rerun: int) -> float:
    """Return the value that a search sees of a row: the same in every search of one rerun."""
    values = table.row(params)[table.metric]
    return values[random.Random(f"{rerun}/{sorted(params.items())}").randrange(len(values))]


def ours(table: Table, plan: Plan, rerun: int) -> Params:
    """Return what Updraft's search chooses, one trial after another."""
    trials: list[Trial] = []
    for number in range(plan.count):
        params = ask(plan, trials)
        trials.append(Trial(number, params, SearchState.COMPLETE, seen(table, params, rerun)))
    winner = best(trials, maximize=plan.maximize)
    assert winner is not None
    return winner.params


def optuna(table: Table, plan: Plan, rerun: int) -> Params:
    """Return what plain Optuna chooses: its own study with its own defaults, begun at the same row."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if plan.maximize else "minimize"
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=plan.seed), direction=direction)
    study.enqueue_trial(dict(plan.first))
    for _ in range(plan.count):
        trial = study.ask(distributions(plan))
        study.tell(trial, seen(table, trial.params, rerun))
    found: Params = study.best_params
    return found


def at_random(table: Table, plan: Plan, rerun: int) -> Params:
    """Return the best of parameters that are drawn."""
    draw = random.Random(f"{table.name}/{rerun}")
    drawn: list[Params] = [plan.first]
    while len(drawn) < plan.count:
        drawn.append(
            {name: draw.choice(axis.choices) if axis.choices else draw.randint(0, round(axis.high)) for name, axis in plan.axes.items()}
        )
    choose = max if plan.maximize else min
    return choose(drawn, key=lambda params: seen(table, params, rerun))


SYSTEMS: dict[str, Callable[[Table, Plan, int], Params]] = {"updraft": ours, "optuna": optuna, "random": at_random}
