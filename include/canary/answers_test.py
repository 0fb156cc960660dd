"""Do the arms of a table's trial answer live rows differently more often than the two models do on held-out rows?

The two models were asked the same held-out rows by `evaluate`; what they disagree on there is what a new version may do. More of it in
production, beyond a margin, is no new version but a skew between training and serving, or a wrapper that breaks what it is given.

Half of the test's alpha pays for the held-out share, known from finitely many rows: its exact upper bound (Clopper and Pearson 1934). The
other half is spent on live rows against that bound and the margin, look by look, as every limit's is (:mod:`include.canary.limits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.canary.compared import NO_ROWS, Compared
from include.canary.limits import LimitTest
from include.canary.spending import TABLE_ANSWERS, comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.plan import AnswersPlan

_BISECTIONS = 60


@dataclass(frozen=True)
class AnswersTest:
    """``limit`` holds the share of differing rows to what the held-out rows allow; ``compared`` is everything compared so far."""

    limit: LimitTest
    compared: Compared = NO_ROWS

    @classmethod
    def start(cls, plan: AnswersPlan, alpha: float) -> AnswersTest:
        """Make a test that has seen nothing yet; ``alpha`` is the trial's."""
        return cls(LimitTest.start(allowed(plan, alpha)))

    def observe(self, seen: Compared, alpha: float, elapsed: float) -> AnswersTest:
        """Return the test after one look's rows; ``elapsed`` as in :mod:`include.canary.spending`."""
        import numpy as np

        rows, differ = np.array([float(seen.rows)]), np.array([float(seen.differ)])
        spend = np.array([comparison(alpha * TABLE_ANSWERS.answers / 2, elapsed)])
        return AnswersTest(self.limit.observe(rows, differ, spend), self.compared + seen)

    def to_json(self) -> dict[str, Any]:
        return {"limit": self.limit.to_json(), "compared": self.compared.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AnswersTest:
        return cls(LimitTest.from_json(data["limit"]), Compared.from_json(data["compared"]))


def allowed(plan: AnswersPlan, alpha: float) -> float:
    """Return the share of live rows that may differ: what the held-out rows can't exclude at half of the test's alpha, and the margin."""
    return min(upper_bound(plan.differ, plan.rows, alpha * TABLE_ANSWERS.answers / 2) + plan.margin, 1.0)


def upper_bound(seen: int, rows: int, alpha: float) -> float:
    """Return the exact upper bound of the share behind ``seen`` of ``rows``: the truth lies above it with chance ``alpha`` at most."""
    import numpy as np

    if seen >= rows:
        return 1.0
    counts = np.arange(seen + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((rows - counts[:-1]) / counts[1:]))])
    low, high = seen / rows, 1.0
    for _ in range(_BISECTIONS):
        share = (low + high) / 2
        so_few = float(np.exp(ways + counts * np.log(share) + (rows - counts) * np.log1p(-share)).sum())
        low, high = (share, high) if so_few > alpha else (low, share)
    return high
