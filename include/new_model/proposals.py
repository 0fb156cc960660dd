"""Expectations that a table keeps today, or nearly: each with the share of its values that violates it. Pure.

They are what the next file of data is held against, so they are wider than what was seen: a range is that of the bulk of the values, with
room at both ends, and what lies outside is counted. A rule that some values violate says so by ``mostly``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd

MISSING_MOST = 0.5
"""A column of which more is missing gets no rule about it."""
FENCE = 3.0
"""Values further out than so many interquartile ranges from the quartiles are outliers (Tukey, 1977: "far out")."""
OUTLIERS_MOST = 0.01
"""Share of a column's values that may be outliers; with more of them it has long tails, and none is one."""
ROOM = 0.1
"""Of a column's range: room for what will come, at each end."""
WORDS = 20
"""Different texts up to which a column's values are a set."""
ROWS_A_WORD = 5
"""... where each has so many rows on average."""
STEPS = (1.0, 2.0, 5.0, 10.0)
MOST_COLUMNS = 150
"""Columns that get rules of their own; an expectations file holds 500 rules."""


@dataclass(frozen=True)
class Proposal:
    """One rule of Great Expectations: ``violations`` is the share of the values looked at that violate it, ``of`` how many were."""

    rule: str
    arguments: dict[str, Any]
    violations: float
    of: int
    why: str = ""


def propose(frame: pd.DataFrame, target: str, task: Task, seen: Sequence[str], *, rows: int) -> list[Proposal]:
    """Rules for ``frame``, a look at a table of so many ``rows``: about the ``target`` and the columns ``seen`` by the model."""
    found = [Proposal("expect_table_row_count_to_be_between", {"min_value": max(rows // 2, 1)}, 0.0, 1, "half of today's rows")]
    own = [target, *seen][:MOST_COLUMNS]
    whole = [name for name in own if not frame[name].isna().any()]
    if whole:
        found.append(Proposal("expect_column_values_to_not_be_null", {"columns": [escaped(name) for name in whole]}, 0.0, len(frame)))
    for name in own:
        column = frame[name]
        if name not in whole and (rule := _missing(name, column)) is not None:
            found.append(rule)
        if name == target and task is Task.CLASSIFICATION:
            found.append(_set(name, column.dropna(), "the classes of today"))
        elif (rule := _values(name, column.dropna())) is not None:
            found.append(rule)
    return found


def about(rules: Sequence[Proposal], names: Sequence[str]) -> list[Proposal]:
    """Those of ``rules`` that are about the table or the columns ``names``, each about these alone."""
    found = []
    for rule in rules:
        columns = rule.arguments.get("columns")
        if columns is not None:
            kept = [glob for glob in columns if glob in {escaped(name) for name in names}]
            found += [replace(rule, arguments=rule.arguments | {"columns": kept})] if kept else []
        elif rule.arguments.get("column") in (None, *names):
            found.append(rule)
    return found


def escaped(name: str) -> str:
    """A column's name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def plain(glob: str) -> str:
    """The name that :func:`escaped` has made a pattern of."""
    return re.sub(r"\[([*?[])\]", r"\1", glob)


def _missing(name: str, column: pd.Series[Any]) -> Proposal | None:
    share = float(column.isna().mean())
    if share > MISSING_MOST:
        return None
    mostly = _floor(1 - share * 2 if share < 0.25 else 1 - share - 0.1)
    return Proposal("expect_column_values_to_not_be_null", {"column": name, "mostly": mostly}, share, len(column), "up to twice as many")


def _values(name: str, known: pd.Series[Any]) -> Proposal | None:
    from pandas.api import types

    if known.empty or types.is_bool_dtype(known.dtype):
        return None
    if types.is_numeric_dtype(known.dtype):
        return _range(name, known.astype("float64"))
    distinct = known.nunique()
    if known.map(lambda value: isinstance(value, str)).all() and distinct <= WORDS and len(known) >= ROWS_A_WORD * distinct:
        return _set(name, known, "the texts of today")
    return None


def _set(name: str, known: pd.Series[Any], why: str) -> Proposal:
    values = sorted((value.item() if hasattr(value, "item") else value for value in known.unique()), key=lambda one: (str(type(one)), one))
    return Proposal("expect_column_values_to_be_in_set", {"column": name, "value_set": values}, 0.0, len(known), why)


def _range(name: str, known: pd.Series[Any]) -> Proposal | None:
    import numpy as np

    known = known[np.isfinite(known)]
    if known.empty:
        return None
    low, high = float(known.min()), float(known.max())
    first, third = (float(value) for value in known.quantile([0.25, 0.75]))
    reach = FENCE * (third - first)
    inside = known[(known >= first - reach) & (known <= third + reach)] if reach > 0 else known
    out = 1 - len(inside) / len(known)
    if 0 < out <= OUTLIERS_MOST:
        low, high = float(inside.min()), float(inside.max())
    room = ROOM * (high - low) or abs(high) * ROOM or 1.0
    least, most = _round(low - room, room, down=True), _round(high + room, room, down=False)
    if low >= 0:
        least = max(least, 0)  # what was never negative is a count, an amount, a length
    violating = float(((known < least) | (known > most)).mean())
    arguments: dict[str, Any] = {"column": name, "min_value": least, "max_value": most}
    if violating:
        arguments["mostly"] = _floor(1 - violating * 2)
    return Proposal(
        "expect_column_values_to_be_between", arguments, violating, len(known), "what lies far outside is counted" if violating else ""
    )


def _round(value: float, room: float, *, down: bool) -> float | int:
    """``value`` away from the data, to a number that people would write: a multiple of 1, 2 or 5 times a power of ten within ``room``."""
    power = 10.0 ** math.floor(math.log10(room))
    step = max(one * power for one in STEPS if one * power <= room * (1 + 1e-9))
    times = math.floor(value / step) if down else math.ceil(value / step)
    digits = max(-math.floor(math.log10(step)), 0)
    rounded = round(times * step, digits)
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 2**53 else rounded


def _floor(share: float) -> float:
    return max(math.floor(share * 1000) / 1000, 0.0)
