"""Rows on which a model's answer does not hang on the last bit of a float32.

An export computes in float32 what scikit-learn computes in float64. Where a decision sits right on a boundary (a tree's threshold, two
classes alike), either answer is right, and a comparison on such a row would say nothing. So each row is moved by a few float32 rounding
errors, and the rows where the original's own answer moves with it are not used as golden inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from include.kinds.rows.answers import Answers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

NOISE, NOISE_WIDE = 2.0**-21, 2.0**-50
"""Size of the moves, relative to the column's largest value: four units in the last place of float32, and of float64 for wide columns."""
MOVES = 4
SEED = 7


def stable_rows(
    ask: Callable[[pd.DataFrame], Answers],
    x: pd.DataFrame,
    tolerance: Callable[[Any, Any], Any],
    wide: Collection[str] = (),
    scale: pd.DataFrame | None = None,
) -> npt.NDArray[np.bool_]:
    """True for each row of ``x`` whose answer stays, label for label and within ``tolerance(a, b)``, when its float columns are moved.

    The columns' largest values are those of ``scale`` (default: of ``x``)."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    floats = [name for name in x.columns if x[name].dtype.kind == "f"]
    reference = ask(x)
    stable = np.ones(len(x), dtype=bool)
    largest = (x if scale is None else scale)[floats].replace([np.inf, -np.inf], np.nan).abs().max()
    sizes = np.array([NOISE_WIDE if name in wide else NOISE for name in floats]) * np.nan_to_num(largest.to_numpy(dtype="float64"))
    for _ in range(MOVES if floats else 0):
        moved = x.copy()
        moved[floats] = x[floats] + rng.uniform(-1, 1, size=(len(x), len(floats))) * sizes
        answer = ask(moved)
        if reference.values.dtype.kind == "f":
            stable &= tolerance(answer.values, reference.values)
        else:
            stable &= answer.values == reference.values
        if reference.probabilities is not None and answer.probabilities is not None:
            stable &= tolerance(answer.probabilities, reference.probabilities).all(axis=1)
    return stable
