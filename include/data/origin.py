"""Where rows of a table come from: its source, what callers sent in production, or what people have labelled. A column of the platform's
own says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ORIGIN = "updraft_origin"
"""The column; no feature, and no part of what decides a row's side. `gate.slices` may name it."""
SOURCE, PRODUCTION = "source", "production"
LABELLED, CHOSEN = "labelled", "chosen"
"""Rows that people have labelled: those that were drawn at random, and those that were chosen because the model finds them hard. Judged by
the latter a model would look worse than it is: they are trained on alone, and never held out."""
FEWEST_LIVE = 100
"""Held-out rows of production below which all held-out rows stand for what callers send."""


def check_free(columns: Iterable[str]) -> None:
    """Raise InputError when ``columns``, those of a source, have one of that name."""
    if ORIGIN in columns:
        raise InputError(f"{ORIGIN} is the platform's own column.", where="data", remedy="Rename it in the data source.")


def of_source_alone(table: pd.DataFrame) -> frozenset[str]:
    """Return the columns that no row of another origin has a value of, in a table that has such rows."""
    if ORIGIN not in table.columns:
        return frozenset()
    others = table[table[ORIGIN] != SOURCE]
    return frozenset(str(name) for name in table.columns if len(others) and others[name].isna().all())


def like_live(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Mark the rows that stand for what callers send today, shape (rows,): the newer half of those from production, or all where these are
    fewer than :data:`FEWEST_LIVE`. Rows of production are in the order of their time."""
    import numpy as np

    every = np.ones(len(table), dtype=bool)
    if ORIGIN not in table.columns:
        return every
    places = np.flatnonzero((table[ORIGIN] == PRODUCTION).to_numpy())
    newer = places[len(places) // 2 :]
    if len(newer) < FEWEST_LIVE:
        return every
    every[:] = False
    every[newer] = True
    return every
