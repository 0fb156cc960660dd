"""How much more the looks differ than independent requests would: the variance between looks against the one expected.

Requests of one look are correlated (bursts, a neighbour on the machine, retries), and looks are correlated with the next. Residuals are
therefore summed over blocks of 1, 2, 4, ... looks; the longest correlation shows in the longest blocks (batch means, cluster-robust).
Every array has a leading axis of trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.canary.increments import Floats

LEVELS = 6
"""Blocks of 1, 2, 4, ..., 32 looks."""
FEWEST_BLOCKS = 3
CERTAIN_SD = 2.5
"""Counts are held to be overdispersed when this many blocks or more differ by this many standard deviations more than chance."""


@dataclass(frozen=True)
class Blocks:
    """``open`` and ``sums`` [trials, levels, parts]: residual and size of the blocks under way; moments of the closed ones.

    ``informed`` [trials] counts the looks that told something.
    """

    looks: int
    open: Floats
    sums: Floats
    informed: Floats

    @classmethod
    def start(cls, trials: int = 1) -> Blocks:
        import numpy as np

        return cls(0, np.zeros((trials, LEVELS, 3)), np.zeros((trials, LEVELS, 5)), np.zeros(trials))

    def add(self, score: Floats, slope: Floats, expected: Floats) -> Blocks:
        """One look: its ``score``, how far the score moves per unit of harm (``slope``), and the variance expected of it. All [trials]."""
        import numpy as np

        looks = self.looks + 1
        running = self.open + np.stack([score, slope, expected], axis=-1)[:, None, :]
        closes = np.array([looks % 2**level == 0 for level in range(LEVELS)])
        a, x, v = running[..., 0], running[..., 1], running[..., 2]
        sums = self.sums + np.where(closes[:, None], np.stack([a * a, a * x, x * x, v, v * v], axis=-1), 0.0)
        return Blocks(looks, np.where(closes[:, None], 0.0, running), sums, self.informed + (expected > 0))

    def ratios(self, harm: Floats) -> tuple[Floats, Floats]:
        """Variance between blocks over the expected one, around ``harm`` [trials]; effective number of blocks. [trials, levels]."""
        import numpy as np

        aa, ax, xx, v, vv = np.moveaxis(self.sums, -1, 0)
        d = harm[:, None]
        blocks = v * v / np.maximum(vv, 1e-300)
        spread = aa - 2 * d * ax + d * d * xx
        unbiased = blocks / np.maximum(blocks - 1, 0.5)
        return np.where(v > 0, np.maximum(spread, 0) * unbiased / np.maximum(v, 1e-300), 0.0), blocks

    def take(self, keep: Floats) -> Blocks:
        return Blocks(self.looks, self.open[keep], self.sums[keep], self.informed[keep])

    def to_json(self) -> dict[str, Any]:
        return {"looks": self.looks, "open": self.open[0].tolist(), "sums": self.sums[0].tolist(), "informed": self.informed[0].tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Blocks:
        import numpy as np

        return cls(data["looks"], np.array([data["open"]]), np.array([data["sums"]]), np.array([data["informed"]]))


def evident(ratios: Floats, blocks: Floats, noise: Floats) -> Floats:
    """Inflation [trials] for counts, whose variance is known if requests are independent: 1 unless the looks plainly contradict that.

    ``noise`` [trials] is the variance that sparse counts add to a ratio.
    """
    import numpy as np

    sd = np.sqrt(2 / np.maximum(blocks, 1) + noise[:, None])
    certain = (blocks >= FEWEST_BLOCKS) & (ratios > 1 + CERTAIN_SD * sd)
    inflation: Floats = np.where(certain, ratios, 1.0).max(axis=1)
    return inflation


def shrunk(ratios: Floats, blocks: Floats, prior: Floats, weight: float) -> tuple[Floats, Floats]:
    """Inflation [trials] for latencies and the degrees of freedom behind it.

    Each level is drawn to what the levels below foretell: if the ratio grew from one block length to the next (looks are correlated in
    time), it is expected to grow on. The lowest level is drawn to ``prior``. The largest level counts, never below 1.
    ``weight`` is how many blocks a prior is worth.
    """
    import numpy as np

    level, growth = prior, np.ones_like(prior)
    best, freedom = np.ones_like(prior), np.full_like(prior, weight)
    for index in range(ratios.shape[1]):
        k = np.where(blocks[:, index] >= 2, blocks[:, index], 0.0)
        before, level = level, (weight * level * growth + k * ratios[:, index]) / (weight + k)
        if index > 0:
            growth = np.clip(level / np.maximum(before, 1e-300), 1.0, 2.0)
        freedom = np.where((level > best) | (index == 0), weight + k, freedom)
        best = np.maximum(best, level)
    return best, freedom
