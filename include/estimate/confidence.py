"""How sure an estimate is: by how much those of measured rows like it were wrong.

The rows are in ``tables/residuals.csv``, which ``python -m bench.estimator --residuals`` writes from the measured rows in
bench/estimator/data/. The interval is split conformal (Vovk et al. 2005; Lei et al. 2018): of n absolute errors, the one at rank
ceil((n + 1) x level) is exceeded by a further one of the same kind with probability at most 1 - level. Rows differ, so the nearest are
taken, by what they have in common.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "tables" / "residuals.csv"
LEVEL = 0.9
LEAST_ROWS = 9
"""Fewer errors say nothing at this level: the rank would lie past the last."""
LEAST_SHARE = 0.01
"""No estimate is called surer than this, however close a few rows were: another start of the same server differs by as much."""
ENGINE_COUNTS = 3
"""Another engine, or an older version of it with other constants, is as far off as three other differences."""


@dataclass(frozen=True)
class Residual:
    """One measured row: by what share the estimate of its memory without the cache (or of its weights, where no more was reported) was
    wrong."""

    model: str
    engine: str
    traits: frozenset[str]
    error: float


@dataclass(frozen=True)
class Interval:
    """``share``: half the width, of what is estimated beside the cache; ``rows`` of measured ones it is taken from."""

    share: float
    rows: int
    level: float = LEVEL

    def around(self, value: float) -> tuple[float, float]:
        return value * (1 - self.share), value * (1 + self.share)


def interval(engine: str, traits: Iterable[str], rows: Iterable[Residual] | None = None) -> Interval | None:
    """The interval of an estimate with these traits; None where too few rows of any kind are known."""
    own, known = frozenset(traits), tuple(residuals() if rows is None else rows)
    if len(known) < LEAST_ROWS or all(row.engine.split(" ")[0] != engine.split(" ")[0] for row in known):
        return None
    far = {id(row): len(own ^ row.traits) + (ENGINE_COUNTS if row.engine != engine else 0) for row in known}
    nearest = sorted(known, key=lambda row: far[id(row)])
    last = far[id(nearest[LEAST_ROWS - 1])]
    errors = sorted(abs(row.error) for row in nearest if far[id(row)] <= last)
    rank = min(len(errors), math.ceil((len(errors) + 1) * LEVEL))
    return Interval(max(LEAST_SHARE, errors[rank - 1]), len(errors))


@cache
def residuals() -> tuple[Residual, ...]:
    """The table's rows."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Residual(row["model"], row["engine"], frozenset(row["traits"].split("; ")), float(row["error"])) for row in csv.DictReader(file)
        )


def write(rows: Iterable[Residual], path: Path = TABLE) -> None:
    """The table anew."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "engine", "traits", "error"])
        writer.writerows([row.model, row.engine, "; ".join(sorted(row.traits)), f"{row.error:.5f}"] for row in rows)
