"""Sums and shares of weighted rows, of many weightings at once; NaN where they are not defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def one_hot(index: npt.NDArray[Any], size: int) -> Floats:
    import numpy as np

    hot: Floats = (index[:, None] == np.arange(size)).astype(float)
    return hot


def ratio(above: Floats, below: Floats) -> Floats:
    import numpy as np

    share: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return share


def mean_defined(values: Floats) -> Floats:
    import numpy as np

    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(float))


def undefined(w: Floats) -> Floats:
    import numpy as np

    return np.full(len(w), np.nan)
