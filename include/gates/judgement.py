"""How far a judge agrees with people, and what it thinks of the new version beside the champion. Pure: marks in, figures out.

Agreement is Cohen's kappa (Educational and Psychological Measurement 20, 1960), with quadratic weights for marks from 1 to 5 (Psychological
Bulletin 70, 1968): what is left of agreement once chance has had its part. A judge that calls everything good agrees often, and has 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from include.gates.evaluation import Comparison, Score
from include.gates.metrics import GOOD, MARK
from include.gates.outcomes import Marked
from include.gates.paired import REPLICATES, SEED, compare, score, wilson

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

FEWEST_MARKED = 0.9
"""Share of the answers that must have got a mark, of the labels for the judge to be trusted, of the prompts for a comparison."""


@dataclass(frozen=True)
class Agreement:
    """``scale``: the marks from worst to best. ``counts[i][j]``: labels i that the judge marked j; the last column got no mark."""

    scale: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    kappa: Score

    @property
    def labels(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def unmarked(self) -> int:
        return sum(row[-1] for row in self.counts)

    def doubt(self, min_kappa: float) -> str:
        """Why the judge is not trusted; empty when it is."""
        if self.labels - self.unmarked < FEWEST_MARKED * self.labels:
            return f"{self.unmarked} of {self.labels} labelled answers got no mark, wanted {1 - FEWEST_MARKED:.0%} at most"
        if self.kappa.value is None or self.kappa.low is None:
            return f"kappa is not defined on these labels, wanted {min_kappa:g}"
        return "" if self.kappa.low >= min_kappa else f"{self.figure}, wanted {min_kappa:g}"

    @property
    def figure(self) -> str:
        """Kappa and its interval, for people."""
        kappa = self.kappa
        if kappa.value is None or kappa.low is None or kappa.high is None:
            return "no kappa"
        return f"kappa {kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"


@dataclass(frozen=True)
class Judgement:
    """What became of a judge: its agreement with the labels, and its marks of the held-out answers.

    ``doubt``: why its marks count for nothing, empty when they count. ``unmarked``: of ``prompts``, how many lack a mark. ``champion``: its
    version, None for a first version; ``not_comparable`` says why there is no comparison all the same. ``tasks``, ``disagreements`` and
    ``worse`` are for the report. ``marks``: how many of this version's answers got each mark, for the looks at production.
    """

    judge: str
    agreement: Agreement
    min_kappa: float
    margin: float
    doubt: str
    prompts: int
    unmarked: int
    score: Score
    champion: str | None = None
    champion_score: Score | None = None
    comparison: Comparison | None = None
    not_comparable: str = ""
    tasks: Sequence[Mapping[str, Any]] = ()
    disagreements: Mapping[str, Any] = field(default_factory=dict)
    worse: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[int] = ()

    def figures(self) -> Judgement:
        """All that the gate decides by: without what is for the report."""
        return replace(self, tasks=(), disagreements={}, worse={}, marks=())

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Judgement:
        agreement = data["agreement"]
        parts = {
            "agreement": Agreement(
                tuple(agreement["scale"]), tuple(tuple(row) for row in agreement["counts"]), Score.from_json(agreement["kappa"])
            ),
            "score": Score.from_json(data["score"]),
            "champion_score": Score.from_json(data["champion_score"]) if data.get("champion_score") else None,
            "comparison": Comparison.from_json(data["comparison"]) if data.get("comparison") else None,
        }
        return cls(**{**data, **parts})


def agreement(scale: Sequence[str], labels: Sequence[int], marks: Sequence[int | None], confidence: float) -> Agreement:
    """People's ``labels`` beside the judge's ``marks`` of the same answers (places on the scale; None: no mark).

    Kappa by statsmodels, over what got a mark; its interval by the BCa bootstrap of scipy (Efron, JASA 82, 1987), whose lower bound holds
    its level here from 20 labels on where the percentile bootstrap and the asymptotic interval don't. Where every mark agrees there is
    nothing to resample: the lower bound is then kappa at the lower Wilson bound of the agreement.
    """
    import numpy as np

    counts = np.zeros((len(scale), len(scale) + 1), dtype=np.int64)
    for label, mark in zip(labels, marks, strict=True):
        counts[label, len(scale) if mark is None else mark] += 1
    return Agreement(tuple(scale), tuple(tuple(row) for row in counts.tolist()), _interval(counts[:, :-1], confidence))


def kappa(counts: Ints) -> float:
    """Cohen's kappa of a square table, weighted for more than two marks; NaN where all is one mark."""
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    if len(used) < 2:
        return math.nan
    return float(cohens_kappa(counts, wt="quadratic" if len(counts) > 2 else None, return_results=False))


def _interval(counts: Ints, confidence: float) -> Score:
    import numpy as np
    from scipy.stats import bootstrap

    value, rows = kappa(counts), int(counts.sum())
    if math.isnan(value):
        return Score(None, method="all labels or marks are the same")
    if np.trace(counts) == rows:
        chance = float(counts.sum(axis=0) @ counts.sum(axis=1)) / rows**2
        low = (wilson(rows, rows, confidence)[0] - chance) / (1 - chance)
        return Score(value, low, 1.0, f"Wilson, all {rows} labels agree")
    if min(np.count_nonzero(counts.sum(axis=axis)) for axis in (0, 1)) == 1:
        return Score(0.0, 0.0, 0.0, "one of the two gives one mark alone")
    size = len(counts)
    cells = np.repeat(np.arange(size * size), counts.ravel())

    def of_cells(sample: Ints) -> float:
        found = kappa(np.bincount(sample, minlength=size * size).reshape(size, size))
        return 0.0 if math.isnan(found) else found  # all of one mark: no sign of agreement

    found = bootstrap(
        (cells,),
        of_cells,
        vectorized=False,
        n_resamples=REPLICATES,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    low, high = (value if math.isnan(bound) else float(bound) for bound in (found.low, found.high))
    return Score(value, min(low, value), max(high, value), f"BCa bootstrap, {REPLICATES} resamples of {rows} labels")


def mean_mark(scale: Sequence[str], marks: Sequence[int | None], confidence: float) -> Score:
    """The mean of ``marks`` with its interval, 0 (all worst) to 1 (all best)."""
    given = _marked(scale, [mark for mark in marks if mark is not None])
    if not len(given):
        return Score(None, method="no answer got a mark")
    return score(_metric(scale), given, confidence)


def beside(
    scale: Sequence[str], ours: Sequence[int | None], theirs: Sequence[int | None], margin: float, confidence: float
) -> Comparison | None:
    """The marks of both versions' answers to the same prompts, where both got one; None where too few did."""
    pairs = [(our, their) for our, their in zip(ours, theirs, strict=True) if our is not None and their is not None]
    if len(pairs) < FEWEST_MARKED * len(ours) or not pairs:
        return None
    first, second = (_marked(scale, side) for side in zip(*pairs, strict=True))
    return compare(_metric(scale), first, second, margin, confidence)


def _metric(scale: Sequence[str]) -> Any:
    return GOOD if len(scale) == 2 else MARK


def _marked(scale: Sequence[str], marks: Sequence[int]) -> Marked:
    import numpy as np

    return Marked(np.array(marks, dtype=float) / (len(scale) - 1))
