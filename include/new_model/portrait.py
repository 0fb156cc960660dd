"""What a table's columns are: a portrait of each, what it is good for, and which task the target asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.data import giveaways, precision, profile
from include.data.columns import typed
from include.data.table import check_feature
from include.errors import InputError
from include.spec.data import Csv
from include.spec.schema import Task

if TYPE_CHECKING:
    import pandas as pd

FEW_CLASSES = 20
"""Whole numbers of up to so many different values are classes."""
ROWS_A_CLASS = 10
"""... where each has so many rows on average."""
MOST_CLASSES = 200
"""Different texts of a target that are still classes."""
MANY_TEXTS, OWN_TEXT = 100, 0.5
"""A column of more different texts than this, and than this share of the rows, holds names or notes."""
EXAMPLES = 5
_IDENTIFIER = re.compile(
    r"(?i:(?:^|[_\W])(?:id|key|nr|no|num|number|uuid|guid|index|code)$|^(?:id|key|nr|uuid|guid|index)(?:$|[_\W]))|Id$|ID$"
)
_TARGETS = ("target", "label", "class", "y", "outcome", "churn", "churned", "result", "response")


@dataclass(frozen=True)
class Column:
    """One column: ``use`` is whether a model should see it, ``why`` is why not (or what to know of it)."""

    name: str
    type: str
    missing: int
    distinct: int
    figures: dict[str, float | None]
    examples: list[str]
    distribution: list[dict[str, Any]]
    use: bool = True
    why: str = ""


@dataclass(frozen=True)
class Guess:
    """The task that a target asks for, why, and what a model that has learnt nothing reaches by the metric that the gate judges by."""

    task: Task
    why: str
    metric: str
    chance: float
    classes: int = 0


@dataclass(frozen=True)
class Portrait:
    """All that is shown of a table before it becomes a model's: ``rows`` were looked at, of about ``all_rows``."""

    rows: int
    all_rows: int
    whole: bool
    columns: list[Column]
    notes: list[str] = field(default_factory=list)


def columns(frame: pd.DataFrame, csv: Csv | None, *, target: str | None = None) -> list[Column]:
    """The columns of ``frame`` in order; the ``target`` is one that a model doesn't see."""
    told = giveaways.giveaways(frame, [name for name in frame.columns if name != target], target) if target is not None else []
    return [_column(frame[name], csv or Csv(), [fault for fault in told if fault.startswith(f"column {name!r}")]) for name in frame.columns]


def _column(column: pd.Series[Any], csv: Csv, told: list[str]) -> Column:
    name, why = str(column.name), _against(str(column.name), column, csv)
    column = _hashable(column)
    described = profile.column(column)
    figures: dict[str, float | None] = {key: described[key] for key in ("min", "mean", "max") if key in described}
    known = column.dropna()
    examples = [str(value)[:60] for value in known.unique()[:EXAMPLES]]
    return Column(
        name,
        described["type"],
        described["missing"],
        described["distinct"],
        figures,
        examples,
        profile.distribution(column),
        use=not why,
        why=why or " ".join(told),
    )


def _against(name: str, column: pd.Series[Any], csv: Csv) -> str:
    """Why no model should see the column; empty where nothing speaks against it."""
    from pandas.api import types

    known = _hashable(column).dropna()
    if known.empty:
        return "no row has a value."
    if re.fullmatch(r"Unnamed: \d+", name):
        return "is the number of a row, which pandas writes of a table's index."
    if known.nunique() == 1 and not column.isna().any():
        return f"has one value only, {str(known.iloc[0])[:60]!r}."
    try:
        check_feature(name, column, csv)
        precision.check_holds(typed(column.to_frame())[name], as_whole=False)
    except InputError as error:
        return f"{error.what} {error.remedy}"
    if types.is_float_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        return ""
    distinct, rows = known.nunique(), len(known)
    if distinct == rows and rows >= ROWS_A_CLASS and _IDENTIFIER.search(name):
        return "has another value in each row and an identifier's name: it says which row it is, and nothing that recurs."
    if types.is_numeric_dtype(column.dtype):
        return ""
    if distinct > MANY_TEXTS and distinct > OWN_TEXT * rows:
        return f"holds {distinct} different texts in {rows} rows: names, identifiers or notes, which recur too seldom to learn from."
    return ""


def _hashable(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column with lists and other values that can't be compared as texts."""
    strange = column.dtype == object and any(isinstance(value, list | dict | set) or hasattr(value, "shape") for value in column.dropna())
    return column.map(repr).where(column.notna(), None) if strange else column


def target_of(names: Iterable[str]) -> str | None:
    """The column that is most likely to be predicted, by its name; None where none has such a name."""
    by_name = {name.casefold(): name for name in names}
    return next((by_name[word] for word in _TARGETS if word in by_name), None)


def guess(target: pd.Series[Any], task: Task | None = None) -> Guess:
    """What ``target`` asks for, or what is known of the ``task`` that somebody names. Raises InputError for a target that no task fits."""
    from pandas.api import types

    where, known = f"target {target.name!r}", target.dropna()
    if known.empty:
        raise InputError("no row has a value.", where=where, remedy="Name the column that is to be predicted.")
    distinct, rows = int(known.nunique()), len(known)
    if distinct < 2:
        what = f"holds only one value, {str(known.iloc[0])[:60]!r}, in {rows} rows."
        raise InputError(what, where=where, remedy="There is nothing to learn: name another column, or get data that varies.")
    number = types.is_numeric_dtype(target.dtype) and not types.is_bool_dtype(target.dtype)
    if task is Task.REGRESSION and not number:
        what = f"holds {str(known.iloc[0])[:60]!r}, which is no number."
        raise InputError(what, where=where, remedy="Choose classification, or correct the values.")
    likely, why = _task(known, number, distinct, rows, where)
    if task not in (None, likely):
        why = f"as it was named; {likely} would be guessed, since {why}"
    task = task or likely
    if task is Task.REGRESSION:
        return Guess(task, why, "r2", 0.0)
    counts = known.value_counts()
    if int(counts.iloc[-1]) < 2:
        why += f" Class {str(counts.index[-1])[:60]!r} has one row only: it can be learnt or judged by, not both."
    from include.gates.metrics import rare_class

    if rare := rare_class(known.tolist()):
        return Guess(task, f"{why} {rare[0].upper()}{rare[1:]}.", "balanced_accuracy", 1 / distinct, distinct)
    return Guess(task, why, "accuracy", float(counts.iloc[0] / rows), distinct)


def _task(known: pd.Series[Any], number: bool, distinct: int, rows: int, where: str) -> tuple[Task, str]:
    if not number:
        if distinct > MOST_CLASSES or (distinct > FEW_CLASSES and distinct > OWN_TEXT * rows):
            what = f"holds {distinct} different texts in {rows} rows, which are no classes."
            raise InputError(what, where=where, remedy="Name a column of classes or numbers.")
        return Task.CLASSIFICATION, f"it holds {distinct} different {'truth values' if known.dtype.kind == 'b' else 'texts'}."
    if (known % 1 != 0).any():
        return Task.REGRESSION, "it holds numbers with decimals."
    if distinct <= FEW_CLASSES and rows >= ROWS_A_CLASS * distinct:
        return Task.CLASSIFICATION, f"it holds {distinct} different whole numbers, each in {rows // distinct} rows on average."
    return Task.REGRESSION, f"it holds {distinct} different whole numbers."
