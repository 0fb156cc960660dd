"""Harm in latency: the difference of the mean log latency within each look, so that what slows both arms at once cancels.

exp(difference) - 1 is how much slower the canary is, typically (a ratio of geometric means). The variance is taken between looks as well as
within them (:mod:`include.canary.dispersion`), because latencies of one look are never independent on a real machine.
Every array has a leading axis of trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.canary.dispersion import Blocks, shrunk
from include.canary.increments import normal
from include.canary.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

NOISE_LOG = 0.03
"""Assumed until the looks tell: two equal servers differ by this much (relative) from one look to the next."""
NOISE_WEIGHT = 8.0
"""How many looks that assumption is worth."""
SPREAD_LOG, SPREAD_WEIGHT = 0.5, 4.0
"""Assumed until the requests tell: standard deviation of one log latency, and how many requests that is worth."""
FEWEST_LOOKS = 3
"""Looks with both arms before latency can raise an alarm: one look says nothing about how much looks differ."""
FINEST_LOG = 0.02
"""No latency is known better than its histogram bin."""


@dataclass(frozen=True)
class Moments:
    """One arm's log latencies (of milliseconds) in one look: number, mean, sum of squares around the mean. All [trials]."""

    n: Floats
    mean: Floats
    squares: Floats


@dataclass(frozen=True)
class LatencyHarm:
    """``score`` is the weighted sum of the looks' differences, ``walk.var`` the weights' sum; ``spread`` [trials, 7] feeds the variance."""

    walk: Walk
    blocks: Blocks
    score: Floats
    spread: Floats

    @classmethod
    def start(cls, trials: int = 1) -> LatencyHarm:
        import numpy as np

        return cls(Walk.start(trials), Blocks.start(trials), np.zeros(trials), np.zeros((trials, 7)))

    def observe(self, canary: Moments, stable: Moments, spend: Floats) -> LatencyHarm:
        """One look; ``spend`` [trials] as in :meth:`Walk.advance`."""
        import numpy as np

        both = canary.n + stable.n
        weight = canary.n * stable.n / np.maximum(both, 1)
        score = np.where(weight > 0, weight * (canary.mean - stable.mean), 0.0)
        shares = [weight**2 / np.maximum(arm.n, 1) for arm in (canary, stable)]
        freedom = [np.maximum(arm.n - 1, 0) for arm in (canary, stable)]
        squares = [np.where(arm.n > 1, arm.squares, 0.0) for arm in (canary, stable)]
        return LatencyHarm(
            walk=self.walk.advance(normal(weight), spend),
            blocks=self.blocks.add(score, weight, weight),
            score=self.score + score,
            spread=self.spread + np.stack([*shares, *freedom, *squares, weight**2], axis=1),
        )

    @property
    def weight(self) -> Floats:
        return self.walk.var

    @property
    def estimate(self) -> Floats:
        """Harm as a log ratio [trials]; 0 where nothing can be compared."""
        import numpy as np

        estimate: Floats = np.where(self.weight > 0, self.score / np.maximum(self.weight, 1e-300), 0.0)
        return estimate

    def error(self) -> tuple[Floats, Floats]:
        """Standard error of the estimate and the degrees of freedom behind it. Both [trials]."""
        import numpy as np

        share, freedom, squares = self.spread[:, 0:2], self.spread[:, 2:4], self.spread[:, 4:6]
        one = (squares + SPREAD_WEIGHT * SPREAD_LOG**2) / (freedom + SPREAD_WEIGHT) + FINEST_LOG**2
        weight = np.maximum(self.weight, 1e-300)
        unit = np.maximum((share * one).sum(axis=1) / weight, FINEST_LOG**2)
        ratios, blocks = self.blocks.ratios(self.estimate)
        prior = 1 + NOISE_LOG**2 * self.spread[:, 6] / (unit * weight)
        inflation, degrees = shrunk(ratios / unit[:, None], blocks, prior, NOISE_WEIGHT)
        return np.sqrt(unit * inflation / weight), degrees

    def crossed(self, margin: float) -> Floats:
        """Where the sequential lower bound of the harm is above ``margin`` (relative) [trials] of bool."""
        import numpy as np

        crossed: Floats = self.lower() > np.log1p(margin)
        return crossed

    def lower(self) -> Floats:
        """The sequential lower bound of the harm as a log ratio [trials], minus infinity where there is none."""
        import numpy as np

        error, degrees = self.error()
        z = self.walk.boundary / np.sqrt(np.maximum(self.weight, 1e-300))
        enough = self.blocks.informed >= FEWEST_LOOKS
        lower: Floats = np.where(enough & (self.weight > 0), self.estimate - _student(z, degrees) * error, -np.inf)
        return lower

    def upper(self, z: float) -> Floats:
        """The upper bound at the trial's end, at ``z`` standard errors, as a log ratio [trials]; infinite where nothing can be compared."""
        import numpy as np

        error, degrees = self.error()
        upper: Floats = np.where(self.weight > 0, self.estimate + _student(np.full_like(error, z), degrees) * error, np.inf)
        return upper

    def take(self, keep: Floats) -> LatencyHarm:
        return LatencyHarm(self.walk.take(keep), self.blocks.take(keep), self.score[keep], self.spread[keep])

    def to_json(self) -> dict[str, Any]:
        arrays = {"score": self.score[0].tolist(), "spread": self.spread[0].tolist()}
        return arrays | {"walk": self.walk.to_json(), "blocks": self.blocks.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LatencyHarm:
        import numpy as np

        return cls(Walk.from_json(data["walk"]), Blocks.from_json(data["blocks"]), np.array([data["score"]]), np.array([data["spread"]]))


def _student(z: Floats, degrees: Floats) -> Floats:
    """A normal quantile widened for a variance estimated on few blocks (Cornish and Fisher's expansion of Student's t, second order)."""
    quantile: Floats = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return quantile
