"""Whether what arrives differs from the held-out rows: columns by comparing them, values by Evidently's tests, its report as a page.

Evidently is imported inside (7 s), and sends nothing: its telemetry is switched off before, and only its server would have any.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
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
NAME_LENGTH, MOST_SENTENCES = 80, 50
"""Of columns in sentences: callers of a server of anybody's may name what they like."""
ANSWER = "the model's answer"
OTHER = "(other)"
_DATA = re.compile(r"^ *var (?:additional_graphs_)?metric_\w+ = .*$", re.MULTILINE)
KS, CHI_SQUARE = "ks", "chisquare"


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
        method, ours, theirs = _comparable(*(side[name] for side in sides))
        tests[name] = (method, ours, theirs)
    varied = {name: test for name, test in tests.items() if len({*test[1].unique(), *test[2].unique()}) > 1}
    return Change(tuple(sentences), _evidently(varied, page) if varied else {})


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
    """The test, and both sides' values: numbers, or texts of which rare ones are taken together. Missing ones are a category."""
    import pandas as pd

    if _number(ours.dropna()):
        numbers = [pd.to_numeric(side, errors="coerce").astype("float64") for side in (ours, theirs)]
        if pd.concat(numbers).nunique() > FEW_VALUES:
            return KS, *(side.dropna().reset_index(drop=True) for side in numbers)
    both = [side.astype(object).where(side.notna(), "(missing)").map(str).reset_index(drop=True) for side in (ours, theirs)]
    kept = set(pd.concat(both).value_counts().head(MOST_VALUES).index)
    return CHI_SQUARE, *(side.where(side.isin(kept), OTHER) for side in both)


def _evidently(tests: dict[str, tuple[str, pd.Series[Any], pd.Series[Any]]], page: Path) -> dict[str, float]:
    """The p-values by column, of Evidently's own tests; its report is written to ``page``."""
    import pandas as pd

    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("evidently").setLevel(logging.WARNING)
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        kinds = {method: [name for name, test in tests.items() if test[0] == method] for method in (KS, CHI_SQUARE)}
        definition = DataDefinition(numerical_columns=kinds[KS], categorical_columns=kinds[CHI_SQUARE])
        sides = [pd.DataFrame({name: test[side] for name, test in tests.items()}) for side in (2, 1)]
        data = [Dataset.from_pandas(side, data_definition=definition) for side in sides]
        found = Report([ValueDrift(column=name, method=test[0]) for name, test in tests.items()]).run(data[0], data[1])
        values = [metric["value"] for metric in found.dict()["metrics"]]
        atomic.write(page, inert(found.get_html_str(as_iframe=False)))
    return {name: float(value) for name, value in zip(tests, values, strict=True) if value == value}
