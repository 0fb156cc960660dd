"""The pairs of a dataset and a classifier that choosing is tried on: data that scikit-learn carries, classifiers of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """A dataset: what of it nobody has labelled (``x``, and ``y``, which is told row by row), and rows to judge by. ``first`` rows have a
    label from the beginning; each of ``rounds`` asks for ``tasks`` more."""

    x: Floats
    y: Classes
    test_x: Floats
    test_y: Classes
    first: int
    tasks: int
    rounds: int


SIZES = {"digits": (50, 20, 20), "breast_cancer": (16, 6, 14), "wine": (12, 4, 12), "iris": (9, 3, 12), "diabetes": (20, 10, 14)}
"""Dataset → rows at first, tasks of a round, rounds. Diabetes: whether the figure is above its median."""


def pool(name: str, seed: int) -> Pool:
    """Return a dataset, split anew for each seed: four tenths judge, the rest nobody has labelled."""
    import numpy as np
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    found: Any = getattr(datasets, f"load_{name}")()
    x, y = np.asarray(found.data, dtype="float64"), np.asarray(found.target)
    y = (y > np.median(y)).astype("int64") if name == "diabetes" else y.astype("int64")
    first, tasks, rounds = SIZES[name]
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.4, random_state=seed, stratify=y)
    return Pool(x, y, test_x, test_y, first, tasks, rounds)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300)


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, random_state=0)


def _neighbours() -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(5, weights="distance")


def _network() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((32,), max_iter=150, random_state=0)


CLASSIFIERS: dict[str, Callable[[], Any]] = {"logistic": _logistic, "forest": _forest, "neighbours": _neighbours, "network": _network}


def fitted(name: str, x: Floats, y: Classes) -> Any:
    """Return a classifier that has learnt from these rows, behind a scaler."""
    import warnings

    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of networks that have not come to their end
        return make_pipeline(StandardScaler(), CLASSIFIERS[name]()).fit(x, y)
