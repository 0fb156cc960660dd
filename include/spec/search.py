"""What a spec may say of the search for its hyperparameters: `train.search`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from include.spec.parts import ParamName, Part, Scalar, as_tuple

MOST_TRIALS = 1000
"""Airflow maps one task to no more than 1,024 (`[core] max_map_length`)."""


class Range(Part):
    """What one parameter of `train.params` may be while it is searched: from `low` to `high`, or one of `choices`. Whole numbers where the
    parameter's default is one."""

    low: int | float | None = None
    """The smallest value."""
    high: int | float | None = None
    """The largest value."""
    log: bool = False
    """Search its logarithm: for what matters by factors, such as a learning rate."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """Only low, low + step, low + 2 step, ..."""
    choices: Annotated[Annotated[tuple[Scalar, ...], Field(max_length=100)] | None, BeforeValidator(as_tuple)] = None
    """The values to choose from, all of the default's type."""


class Pruning(Part):
    """Trials that look bad early are given up (asynchronous successive halving, Li et al., MLSys 2020)."""

    reduction: Annotated[int, Field(ge=2, le=10)] = 3
    """One trial in this many goes on from each rung. Rungs are after 1, `reduction`, `reduction`², ... steps: folds, or what the training
    tells by `include.steps.telling.tell`."""
    warm_up: Annotated[int, Field(ge=1, le=100)] = 5
    """No trial is given up at a rung that fewer trials than this have reached."""


class Search(Part):
    """The search for the hyperparameters that train the model. The first trial has the run's own; each is judged on training rows alone."""

    params: Annotated[dict[ParamName, Range], Field(min_length=1, max_length=50)]
    """The searched ones of `train.params`, each with its range. The others keep the run's values."""
    trials: Annotated[int, Field(ge=2, le=MOST_TRIALS)] = 30
    """How many sets of parameters are tried, the run's own among them."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    """Trials at once. The sampler knows of each trial's beginning what came before the last so many: the search is the same however long
    each takes."""
    minutes: Annotated[float, Field(gt=0, le=30 * 24 * 60)] | None = None
    """No trial begins later than this after the first has begun; the best until then is taken."""
    trial_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] | None = None
    """A trial that takes longer is stopped and has failed. Default: `train.timeout_minutes` for each of its folds."""
    metric: str | None = None
    """What is searched for. Default: the gate's score."""
    direction: Literal["maximize", "minimize"] | None = None
    """Whether more or less of the metric is better. Default, and all that is allowed: what the metric says."""
    sampler: Literal["tpe", "random", "grid", "cmaes"] = "tpe"
    """How the next parameters are found: Optuna's TPE, at random, every point of a grid (all ranges with `step` or `choices`), or CMA-ES
    (numbers only)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same seed, space and data make the same search."""
    folds: Annotated[int, Field(ge=1, le=20)] = 5
    """Parts of the training rows by which a trial is cross-validated; by time, each is judged by what came before it. 1: one inner split,
    a fifth of the rows."""
    pruning: Pruning | None = None
    """Give up trials that look bad early. Default: all are finished."""
    priority: Annotated[int, Field(ge=1, le=10)] = 1
    """Of a trial's request for a GPU (`train.resources`): 1 gives way to everybody."""
