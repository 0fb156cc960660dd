"""How fast several models answer, measured so that their ratios mean something on a machine that does other things too.

The models take turns within each round, so a busy moment hits all of them; a speed-up is the median over the rounds of the ratio within a
round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 15
LOW, HIGH = 3, 11
"""Ranks of the rounds' ratios that bound their median with 96.5 % confidence (sign test, 15 rounds: 1 - 2 · P(binomial(15, 1/2) ≤ 3))."""
WARM_UP = 5
ROUND_S = 0.008
"""Aimed length of one model's turn (seconds)."""
FEWEST, MOST = 3, 200
"""Calls in a turn."""

Call = Callable[[], object]


def faster(times: float) -> str:
    """Say what a speed-up must be for its form to be kept: its interval's lower end must reach ``times``."""
    return "measurably faster" if times == 1 else f"at least {times:g} times as fast, at its interval's lower end too"


@dataclass(frozen=True)
class Speed:
    """``p50_us`` of a call by batch size (microseconds); ``speedup`` over the reference (all sizes weigh alike), with its interval."""

    p50_us: Mapping[int, float]
    speedup: float
    low: float
    high: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Speed:
        return cls({int(size): value for size, value in data["p50_us"].items()}, data["speedup"], data["low"], data["high"])


def calls(prepared: Callable[[pd.DataFrame], Call], x: pd.DataFrame, sizes: Iterable[int]) -> dict[int, Call]:
    """Return a call by batch size, each made by ``prepared`` of so many rows of ``x``: its first ones, over and over where it has fewer."""
    return {size: prepared(x.iloc[[at % len(x) for at in range(size)]]) for size in sizes}


def race(models: Mapping[str, Mapping[int, Call]], reference: str) -> dict[str, Speed]:
    """Measure ``models``: name to a call by batch size. All have the same batch sizes."""
    sizes = list(models[reference])
    calls = {(name, size): call for name, batches in models.items() for size, call in batches.items()}
    turns = {key: _turn(call) for key, call in calls.items()}
    order = list(calls)
    # Forwards and backwards by turns: going always second, after the same other model, would be a small advantage or handicap.
    rounds = [{key: _p50_us(calls[key], turns[key]) for key in (order if n % 2 else order[::-1])} for n in range(ROUNDS)]
    return {name: _speed(name, reference, sizes, rounds) for name in models}


def alone(batches: Mapping[int, Call]) -> list[dict[int, float]]:
    """Median time of a call (microseconds) by batch size, round by round: of a model that can't be up beside the others."""
    turns = {size: _turn(call) for size, call in batches.items()}
    return [{size: _p50_us(call, turns[size]) for size, call in batches.items()} for _ in range(ROUNDS)]


def compared(models: Mapping[str, list[dict[int, float]]], reference: str) -> dict[str, Speed]:
    """What was measured :func:`alone`, one model after the other. A machine that was busier during one of them counts as its slowness."""
    rounds = [{(name, size): us for name, found in models.items() for size, us in found[n].items()} for n in range(ROUNDS)]
    return {name: _speed(name, reference, list(models[reference][0]), rounds) for name in models}


def _speed(name: str, reference: str, sizes: list[int], rounds: list[dict[tuple[str, int], float]]) -> Speed:
    ratios = sorted(math.prod(p50[reference, size] / p50[name, size] for size in sizes) ** (1 / len(sizes)) for p50 in rounds)
    return Speed({size: median(p50[name, size] for p50 in rounds) for size in sizes}, median(ratios), ratios[LOW], ratios[HIGH])


def _turn(call: Call) -> int:
    for _ in range(WARM_UP):
        call()
    return max(FEWEST, min(MOST, int(ROUND_S * 1e6 / max(_p50_us(call, FEWEST), 1e-3))))


def _p50_us(call: Call, times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    return max(median(taken) / 1000, 1e-3)
