"""What a classifier's loss comes to where nobody has labels: estimated by its own confidence, as that was borne out on held-out rows.

The idea is NannyML's CBPE: a row that is answered with confidence c is wrong with chance 1 - c, if the confidence is calibrated. Here it
is calibrated on the held-out rows by pooling adjacent violators (Ayer and others 1955), into blocks of equal chance. What the
estimate can't see is a change of the right answers to the same inputs; labels that come later say whether it holds, and a refuted one
raises no alarm. Every array has a leading axis of blocks or rows. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.monitoring.harm import HarmTest, upper_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

CELLS = 80
"""Groups of as many held-out rows each, by confidence, that blocks are made from."""
FEWEST = 100
"""Held-out rows below which confidence says nothing that could be relied on."""
Z = 2.05
"""Standard errors of the blocks' own chances (one-sided 2 %) that an alarm must be clear of."""


@dataclass(frozen=True)
class Calibration:
    """``edges`` [blocks - 1]: between a block and the next above; ``loss``, ``rows`` [blocks]: what held-out rows had there."""

    edges: tuple[float, ...]
    loss: tuple[float, ...]
    rows: tuple[int, ...]

    @classmethod
    def fit(cls, confidence: Floats, loss: Floats) -> Calibration:
        """Calibrate on held-out rows: the share that is wrong must not rise with the confidence. Needs at least one row."""
        import numpy as np

        order = np.argsort(confidence, kind="stable")
        sorted_confidence, sorted_loss = confidence[order], loss[order]
        starts = np.unique(np.searchsorted(sorted_confidence, sorted_confidence[np.arange(CELLS) * len(order) // CELLS]))
        sums = np.add.reduceat(sorted_loss, starts)
        counts = np.diff([*starts, len(order)])
        blocks: list[list[float]] = []  # [first row, sum of losses, rows]
        for start, total, rows in zip(starts, sums, counts, strict=True):
            blocks.append([float(start), float(total), float(rows)])
            while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] <= blocks[-1][1] / blocks[-1][2]:
                _, total_above, rows_above = blocks.pop()
                blocks[-1][1] += total_above
                blocks[-1][2] += rows_above
        # Half-way between neighbours: a server reckons in 32 bits, and the 0.95 of many rows must not fall below an edge at 0.95.
        edges = tuple(float(sorted_confidence[int(block[0]) - 1 : int(block[0]) + 1].mean()) for block in blocks[1:])
        return cls(edges, tuple(block[1] / block[2] for block in blocks), tuple(int(block[2]) for block in blocks))

    def block(self, confidence: Floats) -> Ints:
        """Return each row's block."""
        import numpy as np

        found: Ints = np.searchsorted(np.array(self.edges), confidence, side="right").astype("int64")
        return found

    def expected(self, confidence: Floats) -> Floats:
        """Return each row's expected loss."""
        import numpy as np

        losses: Floats = np.array(self.loss)[self.block(confidence)]
        return losses

    def accepted(self, margin: float, z: float) -> float:
        """Return the estimated loss under which nothing is wrong: that of the held-out rows, with ``margin`` and ``z`` standard errors."""
        held_out = sum(self.rows)
        mean = sum(loss * rows for loss, rows in zip(self.loss, self.rows, strict=True)) / held_out
        variance = sum((loss - mean) ** 2 * rows for loss, rows in zip(self.loss, self.rows, strict=True)) / held_out
        return upper_mean(mean, math.sqrt(variance), held_out, z) + margin

    def counts(self, confidence: Floats) -> list[int]:
        """Return how many rows fall into each block."""
        import numpy as np

        return [int(count) for count in np.bincount(self.block(confidence), minlength=len(self.loss))]

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        return {"edges": list(self.edges), "loss": list(self.loss), "rows": list(self.rows)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        return cls(tuple(data["edges"]), tuple(data["loss"]), tuple(data["rows"]))


@dataclass(frozen=True)
class EstimateTest:
    """One model's estimate over its life: the test of its mean, and the ``recent`` rows by block since the evidence last was nothing."""

    calibration: Calibration
    test: HarmTest
    recent: tuple[int, ...]

    @classmethod
    def start(cls, calibration: Calibration, accepted: float, alpha: float) -> EstimateTest:
        """Make one that has seen nothing yet; ``accepted`` is the mean loss under which nothing is wrong."""
        import numpy as np

        return cls(calibration, HarmTest.start(np.array([accepted]), alpha), (0,) * len(calibration.loss))

    def observe(self, counts: Any) -> EstimateTest:
        """Return it after one look at rows by block."""
        import numpy as np

        test = self.test
        row = np.array([counts], dtype="float64")
        after = test.observe(test.growth(np.array([self.calibration.loss]), row), row.sum(axis=1))
        recent = counts if test.total[0] < 1 else [before + now for before, now in zip(self.recent, counts, strict=True)]
        return EstimateTest(self.calibration, after, tuple(int(count) for count in recent))

    @property
    def proven(self) -> bool:
        """Whether the estimate has risen above what is accepted, and by more than the doubt about its blocks."""
        import numpy as np

        known = self.calibration
        clear = surely(*(np.array([part], dtype="float64") for part in (self.recent, known.loss, known.rows)))
        return bool(self.test.proven[0] and clear[0] > self.test.accepted[0])

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types; :meth:`from_json` is its inverse."""
        return {"calibration": self.calibration.to_json(), "test": self.test.to_json(), "recent": list(self.recent)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EstimateTest:
        return cls(Calibration.from_json(data["calibration"]), HarmTest.from_json(data["test"]), tuple(data["recent"]))


def surely(counts: Floats, loss: Floats, rows: Floats) -> Floats:
    """Return the least that the mean loss of ``counts`` rows surely is [models], all arguments [models, blocks]; 0 where there are no rows.

    A block's ``loss`` is itself an estimate, of its held-out ``rows``: what is subtracted are :data:`Z` standard errors of the difference
    between live and held-out rows, which are none for live rows that fall as the held-out ones do.
    """
    import numpy as np

    live, held_out = np.maximum(counts.sum(axis=1, keepdims=True), 1), np.maximum(rows.sum(axis=1, keepdims=True), 1)
    variance = np.maximum(loss * (1 - loss), 1 / (rows + 2)) / np.maximum(rows, 1)
    doubt = np.sqrt(((counts / live - rows / held_out) ** 2 * variance).sum(axis=1))
    found: Floats = np.where(counts.sum(axis=1) > 0, (counts / live * loss).sum(axis=1) - Z * doubt, 0.0)
    return found


def gaps(expected: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Return what the tests of the estimate against labels look at, each in 0..1, 0.5 where both agree: how far the labelled rows'
    losses lie above their estimates, and how far below."""
    return (1 + losses - expected) / 2, (1 + expected - losses) / 2
