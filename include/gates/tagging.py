"""Metrics of answers that give a row several labels, as :mod:`include.gates.metrics` says. ``truth`` and ``predicted``: (rows, labels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from include.gates.classification import class_average_precision
from include.gates.outcomes import Tagged
from include.gates.weighted import mean_defined, ratio, undefined

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


def right(o: Tagged) -> Bools:
    """Say which rows have all their labels, and no other."""
    found: Bools = (o.truth == o.predicted).all(axis=1)
    return found


def exact_match(o: Tagged, w: Floats) -> Floats:
    return ratio(w @ right(o).astype(float), w.sum(axis=1))


def f1_macro(o: Tagged, w: Floats) -> Floats:
    """The mean of the labels' F1; a label that no row has, and that none is given, does not count."""
    return mean_defined(ratio(2 * (w @ (o.truth & o.predicted)), w @ o.truth.astype(float) + w @ o.predicted.astype(float)))


def f1_micro(o: Tagged, w: Floats) -> Floats:
    """F1 of all labels of all rows together."""
    hits, truth, said = (part.sum(axis=1).astype(float) for part in (o.truth & o.predicted, o.truth, o.predicted))
    return ratio(2 * (w @ hits), w @ truth + w @ said)


def jaccard(o: Tagged, w: Floats) -> Floats:
    """The mean over the rows of labels in common by labels in all; 1 where neither side has any."""
    import numpy as np

    both, any_ = (o.truth & o.predicted).sum(axis=1), (o.truth | o.predicted).sum(axis=1)
    return ratio(w @ np.where(any_ == 0, 1.0, both / np.maximum(any_, 1)), w.sum(axis=1))


def hamming_loss(o: Tagged, w: Floats) -> Floats:
    """The share of labels that are wrong, of all labels of all rows."""
    return ratio(w @ (o.truth != o.predicted).mean(axis=1), w.sum(axis=1))


def average_precision(o: Tagged, w: Floats) -> Floats:
    """The mean over the labels, of those that some row has."""
    import numpy as np

    if o.probabilities is None:
        return undefined(w)
    of_labels = [class_average_precision(o.probabilities[:, k], o.truth[:, k], w) for k in range(len(o.labels))]
    return mean_defined(np.stack(of_labels, axis=1))


def of_label(label: str, figure: str) -> Callable[[Tagged, Floats], Floats]:
    """Return precision, recall, F1 or average precision of one label; NaN where no row has it."""

    def of_label(o: Tagged, w: Floats) -> Floats:
        if label not in o.labels:
            return undefined(w)
        at = o.labels.index(label)
        truth, said = o.truth[:, at].astype(float), o.predicted[:, at].astype(float)
        if figure == "average_precision":
            return undefined(w) if o.probabilities is None else class_average_precision(o.probabilities[:, at], o.truth[:, at], w)
        below = {"precision": w @ said, "recall": w @ truth, "f1": (w @ truth + w @ said) / 2}[figure]
        return ratio(w @ (truth * said), below)

    return of_label
