"""Whether two forms of a model are one model: their answers compared row by row.

A row where they differ counts only when the original's answer is stable there (``stable_rows``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.bundles.golden import Tolerance
from include.kinds.rows.answers import Answers
from include.kinds.table.stable_rows import stable_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Bools = npt.NDArray[np.bool_]

Ask = Callable[["pd.DataFrame"], Answers]
SHOWN = 6
"""Columns of a row that a message shows."""


def apart(said: Answers, reference: Answers, tolerance: Tolerance) -> Bools:
    """True for each row whose answer is not the ``reference``'s: another label that is no tie, or a number beyond the tolerance."""
    import numpy as np

    if reference.values.dtype.kind == "f":
        return ~near(said.values, reference.values, tolerance)
    wrong: Bools = said.values != reference.values
    if reference.probabilities is None or said.probabilities is None:
        return wrong
    index = {label: at for at, label in enumerate(reference.classes)}
    for row in np.flatnonzero(wrong):
        own, other = index.get(reference.values[row]), index.get(said.values[row])
        if own is not None and other is not None:
            gap = reference.probabilities[row, own] - reference.probabilities[row, other]
            wrong[row] = not gap <= 2 * tolerance.absolute
    return wrong | ~near(said.probabilities, reference.probabilities, tolerance).all(axis=1)


def near(a: npt.NDArray[Any], b: npt.NDArray[Any], tolerance: Tolerance) -> Bools:
    """Where ``a`` is ``b`` within the tolerance; NaN is near nothing."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        close: Bools = abs(a - b) <= tolerance.absolute + tolerance.relative * abs(b)
    return close


def differing(ask: Ask, said: Answers, reference: Answers, x: pd.DataFrame, wide: frozenset[str], tolerance: Tolerance) -> Bools:
    """True for each row of ``x`` where ``said`` is not the ``reference`` (what ``ask``, the original, answers) although that is stable."""
    import numpy as np

    wrong = apart(said, reference, tolerance)
    rows = np.flatnonzero(wrong)
    if len(rows):
        stable = stable_rows(ask, x.iloc[rows], lambda a, b: near(a, b, tolerance), wide, scale=x)
        wrong[rows[~stable]] = False
    return wrong


def shown(x: pd.DataFrame, row: int) -> str:
    """A row in a sentence: its first columns, those that are missing before the others."""
    values = x.iloc[row]
    names = sorted(x.columns, key=lambda name: values[name] == values[name] and values[name] != "")[:SHOWN]
    return ", ".join(f"{name} {'missing' if values[name] != values[name] or values[name] == '' else values[name]}" for name in names)
