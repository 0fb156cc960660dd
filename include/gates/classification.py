"""A classifier's metrics, as :mod:`include.gates.metrics` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from include.gates.outcomes import Labelled
from include.gates.weighted import mean_defined, one_hot, ratio, undefined

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


CALIBRATION_BINS = 10
SMALLEST_PROBABILITY = 1e-7
"""Probabilities are cut here for the log loss: about float32's epsilon, so that a champion answering in FP32 is treated alike."""


def right(o: Labelled) -> Bools:
    right: Bools = o.truth == o.predicted
    return right


def accuracy(o: Labelled, w: Floats) -> Floats:
    return ratio(w @ right(o).astype(float), w.sum(axis=1))


def balanced_accuracy(o: Labelled, w: Floats) -> Floats:
    truth = one_hot(o.truth, len(o.labels))
    return mean_defined(ratio(w @ (truth * (o.truth == o.predicted)[:, None]), w @ truth))


def f1_macro(o: Labelled, w: Floats) -> Floats:
    truth, predicted = one_hot(o.truth, len(o.labels)), one_hot(o.predicted, len(o.labels))
    return mean_defined(ratio(2 * (w @ (truth * predicted)), w @ truth + w @ predicted))


def log_loss(o: Labelled, w: Floats) -> Floats:
    import numpy as np

    if o.probabilities is None:
        return undefined(w)
    own = np.clip(o.probabilities[np.arange(len(o)), o.truth], SMALLEST_PROBABILITY, 1.0)
    return ratio(w @ -np.log(own), w.sum(axis=1))


def roc_auc_ovr(o: Labelled, w: Floats) -> Floats:
    import numpy as np

    if o.probabilities is None:
        return undefined(w)
    return mean_defined(np.stack([auc(o.probabilities[:, k], o.truth == k, w) for k in range(len(o.labels))], axis=1))


def auc(score: Floats, positive: npt.NDArray[np.bool_], w: Floats) -> Floats:
    """Share of (positive, negative) pairs in the right order, ties half: the Mann-Whitney form."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    ours = np.add.reduceat(w[:, order] * positive[order], starts, axis=1)
    theirs = np.add.reduceat(w[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(theirs, axis=1) - theirs / 2
    return ratio((ours * below).sum(axis=1), ours.sum(axis=1) * theirs.sum(axis=1))


def precision_macro(o: Labelled, w: Floats) -> Floats:
    truth, predicted = one_hot(o.truth, len(o.labels)), one_hot(o.predicted, len(o.labels))
    return mean_defined(ratio(w @ (truth * predicted), w @ predicted))


def average_precision(o: Labelled, w: Floats) -> Floats:
    """Mean over the classes, each against the others."""
    import numpy as np

    if o.probabilities is None:
        return undefined(w)
    return mean_defined(np.stack([class_average_precision(o.probabilities[:, k], o.truth == k, w) for k in range(len(o.labels))], axis=1))


def class_average_precision(score: Floats, positive: npt.NDArray[np.bool_], w: Floats) -> Floats:
    """Sum over the thresholds, from high to low, of the gain in recall times the precision there; equal scores are one threshold."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(-score[order]) > 0])
    hits = np.add.reduceat(w[:, order] * positive[order], starts, axis=1)
    found, all_found = np.cumsum(hits, axis=1), np.cumsum(np.add.reduceat(w[:, order], starts, axis=1), axis=1)
    precision = np.nan_to_num(ratio(found, all_found))
    return ratio((hits * precision).sum(axis=1), found[:, -1])


def brier(o: Labelled, w: Floats) -> Floats:
    """Mean squared distance of the probabilities from the truth; half of it with two classes, as usual (scikit-learn)."""
    if o.probabilities is None:
        return undefined(w)
    distance = ((o.probabilities - one_hot(o.truth, len(o.labels))) ** 2).sum(axis=1)
    return ratio(w @ (distance / 2 if len(o.labels) == 2 else distance), w.sum(axis=1))


def calibration_error(o: Labelled, w: Floats) -> Floats:
    """Expected calibration error over equal-width bins of the top probability (Guo et al., ICML 2017)."""
    import numpy as np

    if o.probabilities is None:
        return undefined(w)
    top = o.probabilities.max(axis=1)
    bins = one_hot(np.minimum((top * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1), CALIBRATION_BINS)
    gap = np.abs(w @ (bins * ((o.truth == o.predicted) - top)[:, None]))
    return ratio(gap.sum(axis=1), w.sum(axis=1))


def of_class(label: str, figure: str) -> Callable[[Labelled, Floats], Floats]:
    """Precision, recall, F1 or average precision of one class, by its label as a text; NaN where no row has it."""

    def of_class(o: Labelled, w: Floats) -> Floats:
        at = next((k for k, known in enumerate(o.labels) if str(known) == label), None)
        if at is None:
            return undefined(w)
        truth, predicted = (o.truth == at).astype(float), (o.predicted == at).astype(float)
        if figure == "average_precision":
            return undefined(w) if o.probabilities is None else class_average_precision(o.probabilities[:, at], o.truth == at, w)
        both = w @ (truth * predicted)
        below = {"precision": w @ predicted, "recall": w @ truth, "f1": (w @ truth + w @ predicted) / 2}[figure]
        return ratio(both, below)

    return of_class
