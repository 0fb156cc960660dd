"""Has the mean loss risen above what was accepted at promotion? A test that may be asked after any look, over a model's whole life.

Losses lie in 0..1, one a row. While every row's expected loss, given the rows before it, is at most ``accepted``, a bettor who stakes
``stake`` on each row's being worse multiplies a capital by ``1 + stake * (loss - accepted)``, which on average grows by nothing
(Waudby-Smith and Ramdas 2024). Such capitals are summed over every look at which the harm may have begun and over a few stakes, as the
watch does it with shares of requests (:mod:`include.watch.shares`): ``R' = (R + weight) * growth``. R minus the weights given so far is a
supermartingale, the weights of a whole life add up to 1, and so the chance that R ever reaches 1/alpha is at most alpha, whatever the looks
and their rows (Shin, Ramdas and Rinaldo 2023). Every array has a leading axis of models. Why: docs/decisions/0024-harm-and-change.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FRACTIONS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
"""Stakes, as fractions of the largest that can't lose more than all (1 / accepted): the smaller the harm, the smaller the best stake."""
AT_PROMOTION = 0.5
"""Part of the weights given to the first look: a version that is bad is most often bad from its first row on."""
HALF_LIFE_ROWS = 10_000.0
"""By this many rows half of the other weights are given; the rest falls as 1/rows²."""
LEAST, MOST = 1e-4, 0.95
"""An accepted loss is taken for at least, and at most, this."""
ENOUGH = 100.0
"""Evidence is kept below this many times what proves harm, so that it falls again soon after the harm has passed."""
MOST_LOG = 100.0
"""The logarithm of what one look multiplies the evidence by is kept below this: never infinite."""


@dataclass(frozen=True)
class HarmTest:
    """``accepted`` [models]: the mean loss under which nothing is wrong. ``evidence`` [models, stakes]: R by stake. ``rows`` [models]."""

    accepted: Floats
    evidence: Floats
    rows: Floats
    alpha: float

    @classmethod
    def start(cls, accepted: Floats, alpha: float) -> HarmTest:
        """Make a test that has seen nothing yet."""
        import numpy as np

        accepted = np.clip(np.asarray(accepted, dtype="float64"), LEAST, MOST)
        return cls(accepted, np.zeros((len(accepted), len(FRACTIONS))), np.zeros(len(accepted)), alpha)

    def logs(self, losses: Floats) -> Floats:
        """Return the logarithm of what a row of each loss multiplies the evidence by [models, losses, stakes]; ``losses`` [models, losses]
        in 0..1."""
        import numpy as np

        stakes = np.array(FRACTIONS) / self.accepted[:, None]
        found: Floats = np.log1p(stakes[:, None, :] * (losses - self.accepted[:, None])[:, :, None])
        return found

    def growth(self, losses: Floats, counts: Floats) -> Floats:
        """Return the logarithm of what a look multiplies the evidence by [models, stakes]: ``counts`` rows of each loss."""
        return grown(self.logs(losses), counts)

    def observe(self, growth: Floats, rows: Floats) -> HarmTest:
        """Return the test after one look of ``rows`` [models] rows; a model that has none stays as it is."""
        import numpy as np

        weight = life_weight(self.rows, self.rows + rows)[:, None] / len(FRACTIONS)
        grown = (self.evidence + weight) * np.exp(np.clip(growth, -MOST_LOG, MOST_LOG))
        grown *= np.minimum(1.0, ENOUGH / self.alpha / np.maximum(grown.sum(axis=1, keepdims=True), 1e-300))
        return HarmTest(self.accepted, np.where(rows[:, None] > 0, grown, self.evidence), self.rows + rows, self.alpha)

    def see(self, losses: Floats) -> HarmTest:
        """Return the test after one look at rows' losses [models, rows]."""
        import numpy as np

        return self.observe(self.logs(losses).sum(axis=1), np.full(len(self.accepted), float(losses.shape[1])))

    @property
    def total(self) -> Floats:
        """R over all stakes [models]."""
        total: Floats = self.evidence.sum(axis=1)
        return total

    @property
    def proven(self) -> npt.NDArray[np.bool_]:
        """Whether harm is proven by now [models]."""
        found: npt.NDArray[np.bool_] = self.total >= 1 / self.alpha
        return found

    def to_json(self) -> dict[str, Any]:
        """One model's test as JSON; :meth:`from_json` is its inverse."""
        rows, accepted = int(self.rows[0]), float(self.accepted[0])
        return {"accepted": accepted, "evidence": self.evidence[0].tolist(), "rows": rows, "alpha": self.alpha}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HarmTest:
        import numpy as np

        return cls(
            np.array([data["accepted"]]), np.array([data["evidence"]], dtype="float64"), np.array([float(data["rows"])]), data["alpha"]
        )


def grown(logs: Floats, counts: Floats) -> Floats:
    """Return what ``counts`` rows [models, losses] come to, by the logarithms of each [models, losses, stakes]: [models, stakes]."""
    import numpy as np

    found: Floats = np.einsum("ml,mls->ms", counts, logs)
    return found


def life_weight(before: Floats, after: Floats) -> Floats:
    """Return the part of a whole life that the rows from ``before`` to ``after`` are: all parts add up to 1, for ever."""
    import numpy as np

    spread = HALF_LIFE_ROWS / (HALF_LIFE_ROWS + before) - HALF_LIFE_ROWS / (HALF_LIFE_ROWS + after)
    weight: Floats = (1 - AT_PROMOTION) * spread + np.where((before == 0) & (after > 0), AT_PROMOTION, 0.0)
    return weight


def upper_mean(mean: float, deviation: float, rows: int, z: float) -> float:
    """Return the upper bound, at ``z`` standard errors, of a mean of ``rows`` losses in 0..1 with that standard deviation.

    z²/rows is added for what so few rows can't have shown: no loss in 100 rows is not proof of none.
    """
    return min(mean + z * deviation / math.sqrt(rows) + z * z / rows, 1.0) if rows else 1.0
