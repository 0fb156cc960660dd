"""How good the winner of a search really is: with the bias of having been chosen taken out.

The best of many trials looks better than it is, for it was chosen by the very figures that are then shown. BBC-CV (Tsamardinos, Greasidou
and Borboudakis, "Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation", Machine Learning 107, 2018)
repeats the choice: in each of many bootstrap samples of the rows the best trial is chosen by the rows that were drawn, and judged by those
that were not. The mean over the samples is what to expect of a winner that is chosen so; the percentiles are its interval, which is
somewhat too wide, since fewer rows are left out than there are. The gain is what lies between it and the first trial, which has the run's
own parameters, on the same rows. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from include.gates.metrics import Metric
from include.gates.paired import resamples
from include.search.outcomes import Judged

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

REPLICATES = 1000
MOST_TRIALS = 200
"""So many of the best take part in the choice that is repeated: those behind them win no sample, and each costs its part."""
MOST_ROWS = 20_000
"""Of a larger table so many rows are drawn, so that it takes minutes: the intervals are then wider than they need be."""
SEED = 20_261_201
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """What the choice shows (``naive``), and what is to be expected (``corrected``) with its interval; None where nothing is known."""

    naive: float
    corrected: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Gain:
    """What the winner is worth: its ``value``, and the ``gain`` over the first trial's (None where that did not come to its end). Of a
    metric of which less is better, too, a positive gain is a better value."""

    metric: str
    maximize: bool
    trials: int
    rows: int
    replicates: int
    value: Figure
    gain: Figure | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def gain(
    metric: Metric, trials: Mapping[int, Sequence[Judged]], values: Mapping[int, float], first: int = 0, groups: Ints | None = None
) -> Gain:
    """Return what the best of ``trials`` (folds by number, each judged by the same rows) is worth; ``values`` are what they were chosen by.

    ``groups`` (an index a row, in the order of the folds' rows) keeps together what is not independent.
    """
    trials, groups = _fewer(trials, groups)
    sign = 1.0 if metric.higher_is_better else -1.0
    ranked = sorted(values, key=lambda number: (-sign * values[number], number))
    taken = [*ranked[:MOST_TRIALS], *([first] if first in ranked[MOST_TRIALS:] else [])]
    winner = ranked[0]
    rows = sum(len(fold.rows) for fold in trials[winner])
    drawn, left = _scores(metric, [trials[number] for number in taken], _taken(resamples(rows, groups)))
    chosen, others = corrected(sign * drawn, sign * left, taken.index(first) if first in taken else None)
    value = _figure(values[winner], chosen, sign)
    own = _figure(sign * (values[winner] - values[first]), others, 1.0) if others is not None else None
    return Gain(metric.name, metric.higher_is_better, len(values), rows, len(chosen), value, own)


def _fewer(trials: Mapping[int, Sequence[Judged]], groups: Ints | None) -> tuple[Mapping[int, Sequence[Judged]], Ints | None]:
    """The same, of no more rows than are taken: the same rows of every trial."""
    import numpy as np

    sizes = [len(fold.rows) for fold in next(iter(trials.values()))]
    if sum(sizes) <= MOST_ROWS:
        return trials, groups
    drawn = np.sort(np.random.default_rng(SEED).choice(sum(sizes), MOST_ROWS, replace=False))
    starts = np.cumsum([0, *sizes])
    own = [drawn[(drawn >= begin) & (drawn < end)] - begin for begin, end in pairwise(starts.tolist())]
    found = {
        number: [Judged(fold.rows[rows], fold.outcome.take(rows)) for fold, rows in zip(folds, own, strict=True)]
        for number, folds in trials.items()
    }
    return found, None if groups is None else np.unique(groups[drawn], return_inverse=True)[1].astype("int64")


def corrected(drawn: Floats, left: Floats, first: int | None) -> tuple[Floats, Floats | None]:
    """Return, by replicate, the score of the chosen trial on the rows left out, and how much it is above that of the ``first``.

    ``drawn`` and ``left`` are scores of shape (replicates, trials), more is better, on the rows that the choice saw and on the others.
    Replicates in which either is not defined are left out.
    """
    import numpy as np

    best = np.argmax(np.where(np.isnan(drawn), -np.inf, drawn), axis=1)
    each = np.arange(len(drawn))
    chosen = left[each, best]
    known = ~np.isnan(chosen) & ~np.isnan(drawn[each, best])
    if first is None:
        return chosen[known], None
    above = chosen - left[:, first]
    return chosen[known], above[known & ~np.isnan(above)]


def _taken(chunks: Iterable[Floats]) -> Iterable[Floats]:
    left = REPLICATES
    for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _scores(metric: Metric, trials: Sequence[Sequence[Judged]], chunks: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Scores by replicate and trial, on the drawn rows and on those left out: means over the folds in which they are defined."""
    import warnings

    import numpy as np

    sizes = np.cumsum([len(fold.rows) for fold in trials[0]])[:-1]

    def means(parts: Sequence[Floats]) -> Floats:
        scores = [[metric.compute(fold.outcome, part) for fold, part in zip(folds, parts, strict=True)] for folds in trials]
        found: Floats = np.nanmean(np.array(scores, dtype="float64"), axis=1).T
        return found

    drawn: list[Floats] = []
    left: list[Floats] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a fold of which no row is drawn has no mean
        for weights in chunks:
            parts = [weights[:, begin:end] for begin, end in pairwise([0, *sizes.tolist(), weights.shape[1]])]
            drawn.append(means(parts))
            left.append(means([(part == 0).astype("float64") for part in parts]))
    return np.concatenate(drawn), np.concatenate(left)


def _figure(naive: float, scores: Floats, sign: float) -> Figure:
    import numpy as np

    if not len(scores):
        return Figure(naive, None, None, None)
    tail = 50 * (1 - CONFIDENCE)
    low, high = (float(value) for value in np.percentile(scores, (tail, 100 - tail)))
    mean = float(scores.mean())
    return Figure(naive, sign * mean, *sorted((sign * low, sign * high)))
