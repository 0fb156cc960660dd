"""Whether choosing pays: how many labels fewer chosen rows need than rows drawn at random, with an interval. Pure: chance is seeded.

Two models of one form, which learn from the same rows of the source, get as many labelled rows of the chosen arms and of the control arm.
Both are held against the same held-out rows. The form is a logistic regression, whatever the user's own model is: it is trained sixty times
here. The interval is that of the held-out rows: which rows happened to be labelled is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Right = npt.NDArray[np.float64]
    Rows = tuple[pd.DataFrame, Sequence[str]]

PARTS, ORDERS, BOOTSTRAPS = 5, 5, 1000
"""Numbers of labels at which the two are compared; orders of the labelled rows that are tried; resamples of the held-out rows."""
FEWEST, PROVEN_BY = 20, 100
"""Labels of the control arm below which nothing is said; from the second on choosing must have shown that it pays."""
MOST_ROWS = 3000
"""Rows of the source that both learn from."""
LEVEL = 0.95


@dataclass(frozen=True)
class Gain:
    """``saved_pct``: labels fewer than drawing needs to come to the same accuracy, with ``low`` and ``high`` of the interval of 95 %; below
    0: as many more. ``labels``: of either arm. ``goes_on``: whether rows are still chosen in the next round."""

    labels: int
    saved_pct: float | None
    low: float | None
    high: float | None
    chosen_accuracy: float | None
    control_accuracy: float | None
    goes_on: bool
    why: str


def read(path: Path) -> Gain:
    """Return what the last round has found; of a model without one, that rows are chosen."""
    try:
        return Gain(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return decide(0, None, None)


def decide(labels: int, saved: tuple[float, float, float] | None, accuracies: tuple[float, float] | None) -> Gain:
    """Return what follows from the labels that choosing has saved (its middle, low and high): it goes on until it has proved worse, or has
    had its chance and has not proved better."""
    if saved is None or accuracies is None:
        why = f"{labels} labels of either arm are too few to say whether choosing pays; {FEWEST} are needed."
        return Gain(labels, None, None, None, None, None, True, why)
    middle, low, high = (round(value, 1) for value in saved)
    said = f"{middle:g} % fewer labels than drawing [{low:g}, {high:g}], at {labels} of either arm"
    if high < 0:
        goes_on, why = False, f"Choosing costs labels: {said}. Rows are drawn at random from now on."
    elif labels >= PROVEN_BY and low <= 0:
        goes_on, why = False, f"Choosing has not shown that it pays: {said}. Rows are drawn at random from now on."
    else:
        goes_on, why = True, f"Choosing pays: {said}." if low > 0 else f"Not known yet: {said}."
    return Gain(labels, middle, low, high, round(accuracies[0], 4), round(accuracies[1], 4), goes_on, why)


def measure(source: Rows, chosen: Rows, control: Rows, test: Rows) -> Gain:
    """Return the gain. Each pair is of rows' features and their classes (texts); ``test`` are held-out rows that stand for all."""
    import numpy as np

    labels = min(len(chosen[1]), len(control[1]))
    if labels < FEWEST or len(test[1]) < FEWEST or len(set(source[1])) < 2:
        return decide(labels, None, None)
    rng = np.random.default_rng(0)
    sizes = sorted({round(labels * part / PARTS) for part in range(PARTS + 1)})
    base = rng.permutation(len(source[1]))[:MOST_ROWS]
    right = [_right(source, arm, test, base, sizes, np.random.default_rng(1)) for arm in (chosen, control)]
    middle = saved_pct(right[0].mean(axis=1), right[1].mean(axis=1), sizes)
    draws = rng.integers(0, right[0].shape[1], (BOOTSTRAPS, right[0].shape[1]))
    found = [saved_pct(right[0][:, draw].mean(axis=1), right[1][:, draw].mean(axis=1), sizes) for draw in draws]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return decide(labels, (middle, float(low), float(high)), (float(right[0][-1].mean()), float(right[1][-1].mean())))


def _right(source: Any, arm: Any, test: Any, base: Any, sizes: Sequence[int], rng: np.random.Generator) -> Right:
    """How often each held-out row is read rightly, over the orders, after so many labels: shape (sizes, rows)."""
    import numpy as np
    import pandas as pd

    found = np.zeros((len(sizes), len(test[1])))
    for _ in range(ORDERS):
        order = rng.permutation(len(arm[1]))
        for place, size in enumerate(sizes):
            x = pd.concat([source[0].iloc[base], arm[0].iloc[order[:size]]])
            y = np.concatenate([np.asarray(source[1])[base], np.asarray(arm[1])[order[:size]]])
            found[place] += _model(x).fit(x, y).predict(test[0]) == np.asarray(test[1])
    return found / ORDERS


def _model(x: pd.DataFrame) -> Any:
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name in x.columns if pd.api.types.is_numeric_dtype(x[name].dtype)]
    texts = [name for name in x.columns if name not in numbers]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", max_categories=100), texts),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=200))


def saved_pct(chosen: Sequence[float], control: Sequence[float], sizes: Sequence[int]) -> float:
    """Return how many labels fewer (percent) the chosen arm needs to come to the best accuracy that both arms come to; below 0: more. Both
    begin with none, at the same accuracy."""
    level = min(max(chosen), max(control))
    ours, theirs = _reached(chosen, level, sizes), _reached(control, level, sizes)
    if not ours and not theirs:
        return 0.0
    return 100 * (theirs - ours) / max(theirs, ours)


def _reached(curve: Sequence[float], level: float, sizes: Sequence[int]) -> float:
    """The labels after which the curve's best so far is at the level, between two sizes in a straight line."""
    best, before = float(curve[0]), float(sizes[0])
    if best >= level:
        return before
    for size, value in zip(sizes[1:], curve[1:], strict=True):
        if value >= level:
            return before + (size - before) * (level - best) / (float(value) - best)
        best, before = max(best, float(value)), float(size)
    return float(sizes[-1])
