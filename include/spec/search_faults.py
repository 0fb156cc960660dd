"""How the fields of `train.search` must fit together, and with `train.params`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from include.spec.document import Fault, FieldPath
from include.spec.parts import Param, Scalar
from include.spec.problem import nearest
from include.spec.search import MOST_TRIALS, Range, Search

AT: FieldPath = ("train", "search")


def search_faults(search: Search, params: Mapping[str, Param]) -> Iterator[Fault]:
    """Yield what contradicts itself in a search for some of the hyperparameters ``params``."""
    for name, said in search.params.items():
        at = (*AT, "params", name)
        if name not in params:
            remedy = f"Give it a default: `train.params: {{{name}: ...}}`."
            yield at, "is no parameter of `train.params`.", {"remedy": remedy, "nearest": nearest(name, list(params))}
        else:
            yield from _range(at, said, params[name], search.sampler)
    if search.parallel > search.trials:
        remedy = f"Give {search.trials} at most."
        yield (*AT, "parallel"), f"{search.parallel} at once are more than the {search.trials} trials.", {"remedy": remedy}
    if search.pruning is not None and search.folds == 1:
        yield (*AT, "pruning"), "has no second fold to leave out.", {"remedy": "Give `folds: 2` or more, or leave pruning out."}


def _range(at: FieldPath, said: Range, param: Param, sampler: str) -> Iterator[Fault]:
    bounds = (said.low, said.high)
    if said.choices is not None:
        yield from _choices(at, said, param, sampler)
    elif None in bounds:
        yield at, "has no whole range.", {"remedy": "Give `low` and `high`, or `choices`."}
    elif isinstance(param.default, bool | str):
        kind = "a truth value" if isinstance(param.default, bool) else "a text"
        yield at, f"has a range, and the default {param.default!r} is {kind}.", {"remedy": "Give `choices`."}
    else:
        yield from _numbers(at, said, param, sampler)


def _choices(at: FieldPath, said: Range, param: Param, sampler: str) -> Iterator[Fault]:
    choices, default = said.choices or (), param.default
    kinds, at_choices = sorted({type(choice).__name__ for choice in choices}), (*at, "choices")
    kind = type(default).__name__
    if said.low is not None or said.high is not None or said.step is not None or said.log:
        yield at, "has choices and a range.", {"remedy": "Keep one of them."}
    elif len(kinds) > 1:
        yield at_choices, f"mixes types: {', '.join(kinds)}.", {"remedy": f"Give all as {kind}, as the default is."}
    elif len(choices) < 2:
        yield at_choices, "leaves nothing to choose.", {"remedy": "Give two or more."}
    elif len(set(choices)) < len(choices):
        yield at_choices, "names a value twice.", {"remedy": "Keep one."}
    elif kinds != [kind]:
        yield at_choices, f"is of {kinds[0]}, and the default {default!r} is {kind}.", {"remedy": "Write all in one type."}
    elif default not in choices:
        yield at_choices, f"leaves out the default {default!r}.", {"remedy": "Add it: the first trial has it."}
    else:
        yield from _allowed_choices(at_choices, choices, param, sampler)


def _allowed_choices(at: FieldPath, choices: tuple[Scalar, ...], param: Param, sampler: str) -> Iterator[Fault]:
    if param.choices is not None and (other := [choice for choice in choices if choice not in param.choices]):
        yield at, f"names {other[0]!r}, which the parameter does not allow.", {"remedy": "Take it out, or allow it."}
    elif sampler == "cmaes":
        yield at, "can't be searched by CMA-ES, which moves numbers.", {"remedy": "Write `sampler: tpe`, or give a range."}


def _numbers(at: FieldPath, said: Range, param: Param, sampler: str) -> Iterator[Fault]:
    low, high, default = _number(said.low), _number(said.high), param.default
    fractions = [value for value in (said.low, said.high, said.step) if isinstance(value, float) and not value.is_integer()]
    if isinstance(default, int) and fractions:
        what = f"holds {fractions[0]:g}, and the default {default} is a whole number."
        yield at, what, {"remedy": f"Give whole numbers, or the default {default}.0."}
    elif not abs(low) < 1e300 or not abs(high) < 1e300:
        yield at, "is not finite.", {"remedy": "Give numbers."}
    elif low >= high:
        what = f"{low:g} is above the end {high:g}." if low > high else f"begins and ends at {low:g}."
        yield (*at, "low"), what, {"remedy": "Swap them." if low > high else "Give two numbers, or leave the parameter out of the search."}
    elif not low <= _number(default) <= high:
        yield at, f"leaves out the default {default!r}.", {"remedy": "Widen it, or change the default: the first trial has it."}
    else:
        yield from _spacing(at, said, sampler, high - low)
        yield from _allowed(at, param, low, high)


def _spacing(at: FieldPath, said: Range, sampler: str, length: float) -> Iterator[Fault]:
    if said.log and _number(said.low) <= 0:
        yield (*at, "low"), f"{said.low:g} has no logarithm.", {"remedy": "Begin above 0, or leave `log` out."}
    elif said.log and said.step is not None:
        yield (*at, "step"), "stands beside `log`.", {"remedy": "Keep one of them."}
    elif said.step is not None and said.step > length:
        yield (*at, "step"), f"{said.step:g} is longer than the range.", {"remedy": "Give a smaller one."}
    elif sampler == "grid" and said.step is None:
        yield at, "has no steps, and a grid needs some.", {"remedy": f"Give `step` or `choices`; {MOST_TRIALS} points are tried at most."}


def _allowed(at: FieldPath, param: Param, low: float, high: float) -> Iterator[Fault]:
    if (param.minimum is not None and low < param.minimum) or (param.maximum is not None and high > param.maximum):
        yield at, "is wider than the parameter's own `minimum` and `maximum`.", {"remedy": "Narrow it, or allow more."}
    elif param.choices is not None:
        yield at, "is a range, and the parameter allows some choices only.", {"remedy": "Give `choices`."}


def _number(value: Any) -> float:
    return float(value)
