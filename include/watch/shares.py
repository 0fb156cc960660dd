"""Has a share of requests (failed, slow, refused) risen above what was accepted? A test that may be asked after every look, for years.

The statistic is Shiryaev and Roberts' sum of likelihood ratios, over every moment at which the harm may have begun and over a few sizes
that it may have: ``R' = (R + weight) * ratio``. While the share is what was accepted, R minus the weights given so far is a
martingale, so that by Doob's inequality the chance that R ever reaches 1/alpha is at most alpha times the sum of all weights: whatever
the traffic, and however often one looks (Shin, Ramdas and Rinaldo 2023 call such sums e-detectors). Every array has a leading axis of
champions: a running service has one, the benchmark drives a thousand through the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

SIZES = ((4.0, 0.0, 1 / 4), (0.0, 0.2, 1 / 2), (0.0, 0.7, 1 / 4))
"""Harm that is looked for: so many times the accepted share, or this share of all requests (whichever is more), and its weight."""
LEAST_SHARE = 0.002
"""A share that was never seen above 0 is taken for this much: one failure of a model that had none proves nothing."""
MOST_SHARE = 0.95
HALF_LIFE_DAYS = 10.0
DAY_S = 86_400.0
MOST, MOST_RATIO = 1e250, 100.0
"""R is kept below this, and the logarithm of what one look multiplies it by: far beyond any boundary, and never infinite."""


@dataclass(frozen=True)
class ShareTest:
    """``accepted`` [champions] is the share under which nothing is wrong; ``evidence`` [champions, sizes] is R, of each size of harm."""

    accepted: Floats
    evidence: Floats

    @classmethod
    def start(cls, accepted: Floats) -> ShareTest:
        """Make a test that has seen nothing yet."""
        import numpy as np

        return cls(np.clip(accepted, LEAST_SHARE, MOST_SHARE / 2), np.zeros((len(accepted), len(SIZES))))

    def observe(self, requests: Floats, bad: Floats, weight: float) -> ShareTest:
        """Return the test after one look with ``bad`` of its ``requests`` [champions]; ``weight`` is the look's part of the whole life."""
        import numpy as np

        none = self.accepted[:, None]
        times, least, part = (np.array(column) for column in zip(*SIZES, strict=True))
        harmed = np.clip(np.maximum(times * none, least), none * 1.5, MOST_SHARE)
        ratio = bad[:, None] * np.log(harmed / none) + (requests - bad)[:, None] * np.log((1 - harmed) / (1 - none))
        grown = (self.evidence + weight * part) * np.exp(np.minimum(ratio, MOST_RATIO))
        return ShareTest(self.accepted, np.minimum(grown, MOST))

    @property
    def total(self) -> Floats:
        """R, over all sizes of harm [champions]."""
        total: Floats = self.evidence.sum(axis=1)
        return total

    def to_json(self) -> dict[str, Any]:
        return {"accepted": float(self.accepted[0]), "evidence": self.evidence[0].tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShareTest:
        import numpy as np

        return cls(np.array([data["accepted"]]), np.array([data["evidence"]]))


def life_weight(age_s: float, look_s: float) -> float:
    """The part of a champion's whole life that a look of ``look_s`` seconds is, at the age of ``age_s``: all parts add up to 1, for ever.

    Half of it is given to the first ten days, so that a young champion is watched most closely; it falls as 1/t², which costs an old one
    a few requests more.
    """
    before, after = (HALF_LIFE_DAYS / (HALF_LIFE_DAYS + seconds / DAY_S) for seconds in (age_s, age_s + look_s))
    return before - after


def upper_share(bad: int, requests: int, z: float = 1.645) -> float:
    """Wilson's upper bound of a share, at ``z`` standard errors: what an accepted past allows. 1 where there is none."""
    if not requests:
        return 1.0
    share, spread = bad / requests, z * z / requests
    middle = share + spread / 2
    return min((middle + z * math.sqrt(share * (1 - share) / requests + spread / (4 * requests))) / (1 + spread), 1.0)
