"""What one run's search is bound to, and its trials: the values that the platform's tables hold. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from include.errors import InputError

if TYPE_CHECKING:
    from include.spec.search import Search

Value = bool | int | float | str
Params = Mapping[str, Value]


class SearchState(StrEnum):
    """How far a trial is. ``LEFT_OUT``: it never began, because the search's time was over."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"
    LEFT_OUT = "LEFT_OUT"


@dataclass(frozen=True)
class Trial:
    """One set of parameters and what became of it. ``value`` is the metric's, of a complete trial; ``steps`` are the intermediate values by
    step, counted from 1. ``message`` says why it failed."""

    number: int
    params: Params
    state: SearchState = SearchState.RUNNING
    value: float | None = None
    steps: Mapping[int, float] = field(default_factory=dict)
    message: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types, steps as pairs."""
        return asdict(self) | {"state": self.state.value, "params": dict(self.params), "steps": [list(pair) for pair in self.steps.items()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        """Return what :meth:`to_json` has written; other keys are passed over."""
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**own | {"state": SearchState(data["state"]), "steps": {int(step): float(value) for step, value in data["steps"]}})


@dataclass(frozen=True)
class Axis:
    """One searched parameter: a number from ``low`` to ``high`` (``whole`` or not), or one of ``choices``."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    whole: bool = False
    choices: tuple[Value, ...] = ()

    def grid(self) -> tuple[Value, ...] | None:
        """Return all of its values where they are finitely many and told by steps or choices; None otherwise."""
        if self.choices:
            return self.choices
        if self.step is None:
            return None
        return tuple(self.point(number) for number in range(self.last + 1))

    @property
    def last(self) -> int:
        """The number of the last point of an axis of steps."""
        low, high, step = (Decimal(repr(value)) for value in (self.low, self.high, self.step or 1.0))
        return int((high - low) // step)

    def point(self, number: int) -> Value:
        """Return a point of an axis of steps, in decimals: the fourth of 0, 0.1, ... is 0.3, and none lies beyond the end."""
        exact = Decimal(repr(self.low)) + number * Decimal(repr(self.step or 1.0))
        return round(exact) if self.whole else float(exact)

    def holds(self, value: Value) -> bool:
        """Say whether the search could come upon ``value``, the grid of its steps left aside."""
        if self.choices:
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        return not isinstance(value, bool | str) and self.low <= value <= self.high


@dataclass(frozen=True)
class Plan:
    """What a search is bound to from its first task on. ``first`` are the parameters of trial 0, the run's own; ``maximize`` says whether
    more of the metric is better; an empty ``metric`` is the gate's score."""

    axes: Mapping[str, Axis]
    first: Params
    trials: int
    parallel: int
    sampler: str
    seed: int
    metric: str
    maximize: bool
    folds: int
    reduction: int = 0
    warm_up: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types; :meth:`from_json` is its inverse."""
        axes = {name: asdict(axis) | {"choices": list(axis.choices)} for name, axis in self.axes.items()}
        return asdict(self) | {"axes": axes, "first": dict(self.first)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        axes = {name: Axis(**axis | {"choices": tuple(axis["choices"])}) for name, axis in data["axes"].items()}
        return cls(**dict(data) | {"axes": axes})

    def points(self) -> list[dict[str, Value]]:
        """Return the grid's points in an order that the seed decides, as many as there are trials, the first trial's not among them. Empty
        for no grid."""
        grids = [axis.grid() or () for axis in self.axes.values()]
        total = math.prod(map(len, grids))
        if self.sampler != "grid":
            return []
        drawn = random.Random(self.seed).sample(range(total), min(total, self.trials))
        found = [dict(zip(self.axes, _point(grids, number), strict=True)) for number in drawn]
        return [point for point in found if point != self.first][: self.trials - 1]

    @property
    def count(self) -> int:
        """How many trials there are: of a grid, no more than it has points."""
        return min(self.trials, len(self.points()) + 1) if self.sampler == "grid" else self.trials

    def known_at(self, number: int) -> int:
        """How many trials, counted from 0, must have ended before ``number`` begins: all but the ones that may run beside it."""
        return max(number - self.parallel + 1, 0)


def _point(grids: Sequence[Sequence[Value]], number: int) -> list[Value]:
    found = []
    for grid in reversed(grids):
        number, place = divmod(number, len(grid))
        found.append(grid[place])
    return found[::-1]


def plan_of(search: Search, params: Params, *, maximize: bool) -> Plan:
    """Return the plan of a spec's search; ``params`` are the run's hyperparameters.

    Raises InputError where the run's own value of a searched parameter lies outside its range.
    """
    axes = {name: axis_of(search, name, params[name]) for name in search.params}
    for name, axis in axes.items():
        if not axis.holds(params[name]):
            raise InputError(
                f"{params[name]!r} lies outside of what is searched.",
                where=f"train.search.params.{name}",
                remedy=f"Give the run another {name}, or widen the range: the first trial has the run's own values.",
            )
    pruning = {"reduction": search.pruning.reduction, "warm_up": search.pruning.warm_up} if search.pruning else {}
    plan = Plan(
        axes=axes,
        first={name: params[name] for name in axes},
        trials=search.trials,
        parallel=search.parallel,
        sampler=search.sampler,
        seed=search.seed,
        metric=search.metric or "",
        maximize=maximize,
        folds=search.folds,
        **pruning,
    )
    return replace(plan, trials=plan.count)


def axis_of(search: Search, name: str, default: Value) -> Axis:
    """Return the axis of one searched parameter, of the type that its default has."""
    said = search.params[name]
    if said.choices is not None:
        return Axis(choices=said.choices)
    assert said.low is not None and said.high is not None
    return Axis(float(said.low), float(said.high), said.log, said.step, isinstance(default, int))


def best(trials: Sequence[Trial], *, maximize: bool) -> Trial | None:
    """Return the complete trial with the best value, the earliest of several; None when none is complete."""
    known = [trial for trial in trials if trial.state is SearchState.COMPLETE and trial.value is not None and math.isfinite(trial.value)]
    sign = -1 if maximize else 1
    return min(known, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)
