"""How often the interval of a winner's value holds the truth, beside how far the best value is from it.

A table's means are the truth. Rows are drawn: whether each set of parameters is right about a row (of a loss, how large its error is), so
that its mean over endless rows is the table's; rows that are hard for one set are hard for the others. A search chooses by its rows, as it
would by cross-validation, and the method of ``include.search.gain`` says what the winner is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from bench.search.tables import Table
from include.search.gain import CONFIDENCE, corrected
from include.search.plan import Params, Plan, SearchState, Trial
from include.search.sampler import ask

SHARED = 0.6
"""Of the variance of a row's difficulty, the part that all sets of parameters share."""
ROWS = 500
REPLICATES = 300


@dataclass(frozen=True)
class Rerun:
    """``covered``: whether the interval holds the winner's truth, ``gained``: whether that of the gain does. ``naive`` and ``corrected``
    are the errors of the best value and of the corrected one, positive when they promise too much, in units of the best value's spread."""

    covered: bool
    gained: bool
    naive: float
    corrected: float


def rerun(table: Table, plan: Plan, seed: int) -> Rerun:
    """Return one search over freshly drawn rows."""
    import numpy as np

    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(ROWS)
    trials: list[Trial] = []
    columns: list[Any] = []
    for number in range(plan.count):
        params = ask(plan, trials)
        columns.append(_row_scores(table, params, shared, rng))
        trials.append(Trial(number, params, SearchState.COMPLETE, float(columns[-1].mean())))
    scores = np.array(columns).T  # more is better
    truths = np.array([_share(table, trial.params) if table.maximize else -table.truth(trial.params) for trial in trials])
    weights = rng.multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=REPLICATES).astype("float64")
    left = (weights == 0).astype("float64")
    chosen, above = corrected(weights @ scores / ROWS, left @ scores / left.sum(axis=1, keepdims=True), 0)
    assert above is not None
    tails = (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE))
    (low, high), (less, more) = np.percentile(chosen, tails), np.percentile(above, tails)
    winner = int(scores.mean(axis=0).argmax())
    truth, spread = truths[winner], scores[:, winner].std() / ROWS**0.5 or 1.0
    return Rerun(
        bool(low <= truth <= high),
        bool(less <= truth - truths[0] <= more),
        float(scores[:, winner].mean() - truth) / spread,
        float(chosen.mean() - truth) / spread,
    )


def _share(table: Table, params: Params) -> float:
    value = table.truth(params)
    return min(max(value / 100 if value > 1 else value, 1e-6), 1 - 1e-6)


def _row_scores(table: Table, params: Params, shared: Any, rng: Any) -> Any:
    """What each row scores, more is better: 1 or 0 of an accuracy, the error below 0 of a loss."""
    mixed = SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * rng.standard_normal(len(shared))
    if table.maximize:
        return (mixed < NormalDist().inv_cdf(_share(table, params))).astype("float64")
    return -table.truth(params) * mixed**2
