"""Lives of many models at once, look by look: a pool of rows that the model has answered is drawn from, by blocks of confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.drift.streams import Draw, Stream
from include.monitoring.estimate import Calibration, gaps, surely
from include.monitoring.harm import HarmTest, grown, upper_mean
from include.monitoring.watching import CHECK_ALPHA, ESTIMATE, HARM, REFERENCE_Z

Floats = npt.NDArray[np.float64]
POOL, TRAIN, HELD_OUT = 40_000, 16_000, 4_000
"""Rows: the last two are 20,000 as a spec splits them by default."""
BLOCKS = 40
ALPHA, MARGIN = 0.05, 0.02


@dataclass(frozen=True)
class Pool:
    """Rows with the model's answers: columns, its confidence, and whether it was wrong."""

    x: Floats
    confidence: Floats
    loss: Floats


@dataclass(frozen=True)
class Pools:
    held_out: Pool
    before: Pool
    harmless: Pool
    harm: Pool


def pools(stream: Stream, rng: np.random.Generator) -> Pools:
    """A model trained on the stream, and what it answers to rows of each part."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=0).fit(*(stream.train or stream.before)(rng, TRAIN))

    def answered(draw: Draw, rows: int) -> Pool:
        x, y = draw(rng, rows)
        probabilities = model.predict_proba(x)
        return Pool(x, probabilities.max(axis=1), (model.classes_[probabilities.argmax(axis=1)] != y).astype(float))

    return Pools(answered(stream.before, POOL), *(answered(draw, POOL) for draw in (stream.before, stream.harmless, stream.harm)))


@dataclass(frozen=True)
class Lives:
    """Models of one stream, each with held-out rows of its own: what watching knows of each. ``loss``, ``rows``: [models, blocks];
    ``accepted``, ``estimated`` [models]: the mean loss, by labels and by confidence, under which nothing is wrong."""

    calibrations: tuple[Calibration, ...]
    loss: Floats
    rows: Floats
    accepted: Floats
    estimated: Floats

    @classmethod
    def start(cls, held_out: Pool, models: int, rng: np.random.Generator, margin: float = MARGIN) -> Lives:
        """Draw each model's held-out rows, and calibrate."""
        found, accepted = [], []
        for _ in range(models):
            rows = rng.choice(len(held_out.loss), HELD_OUT, replace=False)
            loss = held_out.loss[rows]
            found.append(Calibration.fit(held_out.confidence[rows], loss))
            accepted.append(upper_mean(float(loss.mean()), float(loss.std()), HELD_OUT, REFERENCE_Z) + margin)
        estimated = [one.accepted(margin, REFERENCE_Z) for one in found]
        padded = [(list(one.loss) + [0.0] * BLOCKS)[:BLOCKS] for one in found]
        counts = [(list(map(float, one.rows)) + [0.0] * BLOCKS)[:BLOCKS] for one in found]
        return cls(tuple(found), np.array(padded), np.array(counts), np.array(accepted), np.array(estimated))

    def table(self, pool: Pool) -> Floats:
        """How likely a row of the pool is of each block, right or wrong [models, blocks * 2]."""
        wrong = pool.loss.astype("int64")
        cells = [np.bincount(one.block(pool.confidence) * 2 + wrong, minlength=2 * BLOCKS) for one in self.calibrations]
        return np.array(cells) / len(pool.loss)


@dataclass
class Watched:
    """Ours, with labels that come ``delay`` looks after their rows (None: never). ``alarmed`` [models]: whether the look's word is harm."""

    lives: Lives
    delay: int | None

    def __post_init__(self) -> None:
        models = len(self.lives.accepted)
        self.harm = HarmTest.start(self.lives.accepted, HARM * ALPHA)
        self.estimate = HarmTest.start(self.lives.estimated, ESTIMATE * ALPHA)
        agreed = np.full(models, (1 + MARGIN) / 2)
        self.checks = [HarmTest.start(agreed, CHECK_ALPHA / 2) for _ in range(2)]
        self.recent, self.refuted = np.zeros((models, BLOCKS)), np.zeros(models, dtype=bool)
        self.waiting: list[Floats] = []
        values = np.broadcast_to(np.array([0.0, 1.0]), (models, BLOCKS, 2)).reshape(models, -1)
        gap = gaps(np.repeat(self.lives.loss, 2, axis=1), values)
        self.gap_logs = [check.logs(values) for check, values in zip(self.checks, gap, strict=True)]
        self.harm_logs = self.harm.logs(np.broadcast_to(np.array([[0.0, 1.0]]), (models, 2)))
        self.estimate_logs = self.estimate.logs(self.lives.loss)

    def look(self, cells: Floats, _: np.random.Generator) -> npt.NDArray[np.bool_]:
        """One look at rows by block, right or wrong [models, blocks * 2]."""
        rows = cells.sum(axis=1)
        blocks = cells.reshape(len(rows), BLOCKS, 2).sum(axis=2)
        self.recent = np.where(self.estimate.total[:, None] < 1, 0, self.recent) + blocks
        self.estimate = self.estimate.observe(grown(self.estimate_logs, blocks), rows)
        if self.delay is not None:
            self.waiting.append(cells)
            if len(self.waiting) > self.delay:
                self._labels(self.waiting.pop(0))
        clear = surely(self.recent, self.lives.loss, self.lives.rows) > self.estimate.accepted
        return self.harm.proven | (self.estimate.proven & clear & ~self.refuted)

    def _labels(self, cells: Floats) -> None:
        rows = cells.sum(axis=1)
        wrong = cells.reshape(len(rows), BLOCKS, 2).sum(axis=1)
        self.harm = self.harm.observe(grown(self.harm_logs, wrong), rows)
        self.checks = [check.observe(grown(logs, cells), rows) for check, logs in zip(self.checks, self.gap_logs, strict=True)]
        self.refuted = self.checks[0].proven | self.checks[1].proven


class PageHinkley:
    """Page and Hinkley's test of the losses, row by row, with the usual settings (0.005, 50, from 30 rows on); labels at once."""

    def __init__(self, lives: Lives) -> None:
        models = len(lives.accepted)
        self.rows, self.sum, self.walk, self.least = 0, np.zeros(models), np.zeros(models), np.zeros(models)

    def look(self, cells: Floats, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        wrong = cells.reshape(len(cells), BLOCKS, 2).sum(axis=1)
        size = int(cells[0].sum())
        order = rng.random((len(cells), size)).argsort(axis=1)
        losses = (order < wrong[:, 1:]).astype(float)
        numbers = self.rows + np.arange(1, size + 1)
        means = (self.sum[:, None] + losses.cumsum(axis=1)) / numbers
        walk = self.walk[:, None] + (losses - means - 0.005).cumsum(axis=1)
        least = np.minimum(self.least[:, None], np.minimum.accumulate(walk, axis=1))
        found: npt.NDArray[np.bool_] = ((walk - least > 50) & (numbers > 30)).any(axis=1)
        self.rows, self.sum, self.walk, self.least = self.rows + size, self.sum + losses.sum(axis=1), walk[:, -1], least[:, -1]
        return found


class Cbpe:
    """NannyML's idea: the estimate of each look beside its mean on held-out rows and three standard deviations of such looks; no labels."""

    def __init__(self, lives: Lives) -> None:
        self.loss, share = lives.loss, lives.rows / lives.rows.sum(axis=1, keepdims=True)
        self.mean = (share * self.loss).sum(axis=1)
        self.deviation = np.sqrt((share * (self.loss - self.mean[:, None]) ** 2).sum(axis=1))

    def look(self, cells: Floats, _: np.random.Generator) -> npt.NDArray[np.bool_]:
        blocks = cells.reshape(len(cells), BLOCKS, 2).sum(axis=2)
        rows = blocks.sum(axis=1)
        found: npt.NDArray[np.bool_] = (blocks * self.loss).sum(axis=1) / rows > self.mean + 3 * self.deviation / np.sqrt(rows)
        return found
