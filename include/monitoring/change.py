"""Whether what arrives differs from the held-out rows: columns by comparing them, values by Evidently's tests, its report as a page.

Evidently is imported inside (7 s), and sends nothing: its telemetry is switched off before, and only its server would have any.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import atomic

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ROWS = 50
"""Rows below which values are not compared."""
MOST_ROWS = 2_000
"""Rows of either side that are compared, drawn at random: a difference too small to be seen in them is no news."""
MOST_COLUMNS = 200
FEW_VALUES = 10
"""A column of whole numbers with at most this many different ones is compared as a category."""
MOST_VALUES = 100
"""Categories of a column that are told apart; the rarer ones count as one."""
DIGITS = 6
"""Significant digits that survive 32-bit arithmetic."""
NAME_LENGTH, MOST_SENTENCES = 80, 50
"""Of columns in sentences: callers of a server of anybody's may name what they like."""
ANSWER = "the model's answer"
OTHER = "(other)"
MISSING = " \N{EM DASH} missing"
"""Behind a column's name: whether its number is missing, compared beside the numbers that are there."""
_DATA = re.compile(r"^ *var (?:additional_graphs_)?metric_\w+ = .*$", re.MULTILINE)
KS, HOMOGENEITY = "ks", "updraft_homogeneity"
"""Kolmogorov and Smirnov's test, Evidently's own; and the chi-square test of homogeneity, which takes held-out rows for the sample that
they are. Evidently's chi-square takes their shares for the truth: docs/decisions/0054-change-of-categories.md."""


@dataclass(frozen=True)
class Change:
    """``columns``: a sentence a column that is not what it was. ``p_values``: by column, of its values' being as they were."""

    columns: tuple[str, ...]
    p_values: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return {"columns": list(self.columns), "p_values": self.p_values}


def columns(reference: pd.DataFrame, live: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the names that can be compared, and a sentence a column that vanished, appeared, is of another type or has no value. Pure."""
    found = [f"{_named(name)}: has vanished." for name in reference.columns if name not in live.columns]
    found += [f"{_named(name)}: is new." for name in live.columns if name not in reference.columns]
    fit = []
    for name in (name for name in reference.columns if name in live.columns):
        ours, theirs = reference[name].dropna(), live[name].dropna()
        if len(ours) and not len(theirs):
            found += [f"{_named(name)}: no row has a value."] if len(live) else []
        elif len(theirs) and not len(ours):
            found += [f"{_named(name)}: has values, and had none."] if len(reference) else []
        elif len(ours) and _number(ours) != _number(theirs):
            kinds = ("numbers", "texts") if _number(ours) else ("texts", "numbers")
            found.append(f"{_named(name)}: held {kinds[0]}, now {kinds[1]} (such as {str(theirs.iloc[0])[:40]!r}).")
        elif len(ours):
            fit.append(str(name))
    more = len(found) - MOST_SENTENCES
    return fit, found if more <= 0 else [*found[:MOST_SENTENCES], f"And {more} more."]


def _named(name: object) -> str:
    return str(name) if len(str(name)) <= NAME_LENGTH else f"{str(name)[: NAME_LENGTH - 3]}..."


def compare(reference: pd.DataFrame, live: pd.DataFrame, page: Path) -> Change:
    """Compare live rows with held-out ones; ``page`` gets Evidently's report, if there is anything to compare."""
    fit, sentences = columns(reference, live)
    if len(live) < FEWEST_ROWS or len(reference) < FEWEST_ROWS:
        return Change(tuple(sentences), {})
    sides = [_sample(reference), _sample(live)]
    tests = {}
    for name in fit[:MOST_COLUMNS]:
        ours, theirs = (side[name] for side in sides)
        tests[name] = _comparable(ours, theirs)
        if tests[name][0] == KS:
            tests[f"{name}{MISSING}"] = (HOMOGENEITY, *(side.isna().map({True: "(missing)", False: "(known)"}) for side in (ours, theirs)))
    varied = {name: test for name, test in tests.items() if len({*test[1].unique(), *test[2].unique()}) > 1 and min(map(len, test[1:])) > 0}
    return Change(tuple(sentences), _by_column(fit, _evidently(varied, page)) if varied else {})


def _by_column(names: Sequence[str], found: Mapping[str, float]) -> dict[str, float]:
    """One p-value a column: of the two of a column of which numbers are missing, the smaller one twice (Bonferroni)."""
    both = {name: [found[one] for one in (name, f"{name}{MISSING}") if one in found] for name in names}
    return {name: min(1.0, len(values) * min(values)) for name, values in both.items() if values}


def inert(page: str) -> str:
    """Return Evidently's page whose data can't end the script that holds them. Raises ValueError where they aren't found.

    It writes them as JSON, a line each, in which ``<`` may as well be an escape.
    """
    found, count = _DATA.subn(lambda line: line[0].replace("<", "\\u003c"), page)
    if not count:
        raise ValueError("Evidently's page has another form than is known.")
    return found


def _number(values: pd.Series[Any]) -> bool:
    import pandas as pd

    return all(isinstance(value, (int, float)) for value in values.head(MOST_ROWS)) or pd.api.types.is_numeric_dtype(values.dtype)


def _sample(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(MOST_ROWS, random_state=0) if len(frame) > MOST_ROWS else frame


def _comparable(ours: pd.Series[Any], theirs: pd.Series[Any]) -> tuple[str, pd.Series[Any], pd.Series[Any]]:
    """The test, and both sides' values: numbers, or texts of which rare ones are taken together. Missing ones are a category, and so
    is each number where there are few: 1, 1.0 and true are one."""
    import pandas as pd

    if _number(ours.dropna()):
        ours, theirs = _of_one_precision(*(pd.to_numeric(side, errors="coerce").astype("float64") for side in (ours, theirs)))
        if pd.concat([ours, theirs]).nunique() > FEW_VALUES:
            return KS, ours.dropna().reset_index(drop=True), theirs.dropna().reset_index(drop=True)
    both = [side.astype(object).where(side.notna(), "(missing)").map(str).reset_index(drop=True) for side in (ours, theirs)]
    kept = set(pd.concat(both).value_counts().head(MOST_VALUES).index)
    return HOMOGENEITY, *(side.where(side.isin(kept), OTHER) for side in both)


def _of_one_precision(ours: pd.Series[Any], theirs: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Both sides to :data:`DIGITS` where one of them is what 32-bit floats hold: the 0.1 of a request and the 0.10000000149 that a model
    reads are one number, and so are answers that were reckoned in 32 and in 64 bits. Whole numbers stay as they are."""
    import numpy as np

    known = [side.to_numpy()[np.isfinite(side.to_numpy())] for side in (ours, theirs)]
    with np.errstate(over="ignore"):
        narrow = any((side == side.astype("float32")).all() for side in known)
    if not narrow or all((side % 1 == 0).all() for side in known):
        return ours, theirs

    ours, theirs = (side.map(lambda value: float(f"{value:.{DIGITS}g}")) for side in (ours, theirs))
    return ours, theirs


def homogeneity(ours: pd.Series[Any], theirs: pd.Series[Any]) -> float:
    """Return the p-value of two samples' being of one distribution over categories (chi-square test of homogeneity, Pearson 1911)."""
    from scipy.stats import chi2_contingency

    counts = [side.value_counts() for side in (ours, theirs)]
    keys = sorted({*counts[0].index, *counts[1].index})
    if len(keys) < 2:
        return 1.0
    return float(chi2_contingency([[int(side.get(key, 0)) for key in keys] for side in counts], correction=False).pvalue)


def _register() -> None:
    """Have Evidently know the test, so that its page shows what is judged by."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def test(reference: pd.Series[Any], current: pd.Series[Any], _: ColumnType, threshold: float) -> tuple[float, bool]:
        p = homogeneity(reference, current)
        return p, p < threshold

    register_stattest(StatTest(HOMOGENEITY, "chi-square test of homogeneity p_value", [ColumnType.Categorical]), test)


def _evidently(tests: dict[str, tuple[str, pd.Series[Any], pd.Series[Any]]], page: Path) -> dict[str, float]:
    """The p-values by column, of Evidently's own tests; its report is written to ``page``."""
    import pandas as pd

    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("evidently").setLevel(logging.WARNING)
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        _register()
        kinds = {method: [name for name, test in tests.items() if test[0] == method] for method in (KS, HOMOGENEITY)}
        definition = DataDefinition(numerical_columns=kinds[KS], categorical_columns=kinds[HOMOGENEITY])
        sides = [pd.DataFrame({name: test[side] for name, test in tests.items()}) for side in (2, 1)]
        data = [Dataset.from_pandas(side, data_definition=definition) for side in sides]
        found = Report([ValueDrift(column=name, method=test[0]) for name, test in tests.items()]).run(data[0], data[1])
        values = [metric["value"] for metric in found.dict()["metrics"]]
        atomic.write(page, inert(found.get_html_str(as_iframe=False)))
    return {name: float(value) for name, value in zip(tests, values, strict=True) if value == value}
