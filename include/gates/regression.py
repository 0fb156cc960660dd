"""A regressor's metrics, as :mod:`include.gates.metrics` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from include.gates.outcomes import Measured
from include.gates.weighted import ratio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def r2(o: Measured, w: Floats) -> Floats:
    total = w.sum(axis=1)
    centred = o.truth - o.truth.mean()
    spread = w @ centred**2 - ratio((w @ centred) ** 2, total)
    return 1 - ratio(w @ (o.truth - o.predicted) ** 2, spread)


def mae(o: Measured, w: Floats) -> Floats:
    return ratio(w @ abs(o.truth - o.predicted), w.sum(axis=1))


def rmse(o: Measured, w: Floats) -> Floats:
    import numpy as np

    root: Floats = np.sqrt(ratio(w @ (o.truth - o.predicted) ** 2, w.sum(axis=1)))
    return root


def mape(o: Measured, w: Floats) -> Floats:
    """Of the truth; where that is 0, of the smallest number there is next to 1 (scikit-learn), so that it shows."""
    import numpy as np

    return ratio(w @ (abs(o.truth - o.predicted) / np.maximum(abs(o.truth), np.finfo(float).eps)), w.sum(axis=1))


def wape(o: Measured, w: Floats) -> Floats:
    return ratio(w @ abs(o.truth - o.predicted), w @ abs(o.truth))


def pinball(quantile: float) -> Callable[[Measured, Floats], Floats]:
    """The loss that the quantile itself makes least (Koenker and Bassett, Econometrica 46, 1978)."""

    def pinball(o: Measured, w: Floats) -> Floats:
        import numpy as np

        error = o.truth - o.predicted
        return ratio(w @ np.maximum(quantile * error, (quantile - 1) * error), w.sum(axis=1))

    return pinball


def quantile_error(quantile: float) -> Callable[[Measured, Floats], Floats]:
    """How far the share of rows at or below their prediction is from the quantile."""

    def quantile_error(o: Measured, w: Floats) -> Floats:
        return abs(ratio(w @ (o.truth <= o.predicted).astype(float), w.sum(axis=1)) - quantile)

    return quantile_error


def median_ae(o: Measured, w: Floats) -> Floats:
    import numpy as np

    error = abs(o.truth - o.predicted)
    order = np.argsort(error)
    mass = np.cumsum(w[:, order], axis=1)
    half = mass[:, -1:] / 2
    # The middle of the two middle values where the mass splits evenly, as the median of an even number of rows.
    lower, upper = (mass >= half).argmax(axis=1), (mass > half).argmax(axis=1)
    middle: Floats = (error[order][lower] + error[order][upper]) / 2
    return middle
