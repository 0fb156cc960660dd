"""What a model says about rows, in one form for an estimator and for an ONNX model, and put beside the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.outcomes import Labelled, Measured, Tagged
from include.kinds.rows import tags
from include.spec.schema import Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Label = int | str


@dataclass(frozen=True)
class Answers:
    """``values``: labels (int64 or str objects) or numbers, shape (n,). ``probabilities``: (n, len(classes)) or None."""

    values: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None = None
    classes: tuple[Label, ...] = ()

    def take(self, rows: npt.NDArray[Any]) -> Answers:
        """The answers to some rows (indices or mask)."""
        return Answers(self.values[rows], None if self.probabilities is None else self.probabilities[rows], self.classes)


def of_estimator(model: Any, x: pd.DataFrame, task: Task) -> Answers:
    """Ask a fitted estimator. InputError when it answers more than one value a row."""
    import numpy as np

    values = np.asarray(model.predict(x))
    if values.size != len(x):
        raise InputError(
            f"the model answers {values.size / len(x):g} values a row: an answer of several (quantiles, an uncertainty) is not served.",
            where="train.entry",
            remedy="Train it for one of them, and a model for each other.",
        )
    if task is Task.REGRESSION:
        return Answers(values.reshape(len(x)).astype("float64"))
    probabilities = np.asarray(model.predict_proba(x), dtype="float64") if hasattr(model, "predict_proba") else None
    return Answers(labels(values.reshape(len(x))), probabilities, classes_of(model))


def classes_of(model: Any) -> tuple[Label, ...]:
    """The labels that a classifier knows, in the order of its probabilities."""
    return tuple(labels(model.classes_).tolist())


def labels(values: Any) -> npt.NDArray[Any]:
    """Labels as int64, or as an object array of str."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind in "iubf":
        return array.astype("int64")
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()], dtype=object)


def universe(*parts: Iterable[Any]) -> tuple[Label, ...]:
    """All labels of ``parts``, numbers before texts, sorted."""
    found = {int(value) if not isinstance(value, str) else value for part in parts for value in part}
    return tuple(sorted(found, key=lambda label: (isinstance(label, str), label)))


def known_labels(task: Task, y: Iterable[Any], *said: Answers) -> tuple[Label, ...]:
    """Return every label of what is right, ``y``, and of what models have ``said``; none of a regression's."""
    if task is Task.REGRESSION:
        return ()
    if task is Task.MULTILABEL:
        texts = [*y, *(text for one in said for text in one.values)]
        return universe(*(one.classes for one in said), *map(tags.parts, set(texts)))
    return universe(y, *(part for one in said for part in (one.classes, one.values)))


def outcome(answers: Answers, y: pd.Series[Any], known: tuple[Label, ...]) -> Labelled | Measured:
    """``answers`` beside the truth ``y``; ``known`` must hold every label of both (ignored for numbers)."""
    import numpy as np
    import pandas as pd

    if not known:
        return Measured(y.to_numpy(dtype="float64"), answers.values)
    index = pd.Index(list(known), dtype=object)
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.zeros((len(y), len(known)))
        probabilities[:, index.get_indexer(pd.Index(list(answers.classes), dtype=object))] = answers.probabilities
    truth, predicted = (index.get_indexer(pd.Index(list(part), dtype=object)) for part in (y, answers.values))
    return Labelled(known, truth.astype("int64"), predicted.astype("int64"), probabilities)


def outcome_of(task: Task, said: Answers, y: pd.Series[Any], known: tuple[Label, ...]) -> Labelled | Measured | Tagged:
    """Return :func:`outcome`, of a task whose rows have several labels one label by label."""
    return _tagged(said, y, tuple(str(label) for label in known)) if task is Task.MULTILABEL else outcome(said, y, known)


def _tagged(answers: Answers, y: pd.Series[Any], known: tuple[str, ...]) -> Tagged:
    import numpy as np

    place = {label: number for number, label in enumerate(known)}

    def matrix(texts: Iterable[str]) -> npt.NDArray[np.bool_]:
        found = np.zeros((len(y), len(known)), dtype=bool)
        for row, text in enumerate(texts):
            found[row, [place[label] for label in tags.parts(text)]] = True
        return found

    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.zeros((len(y), len(known)))
        probabilities[:, [place[str(label)] for label in answers.classes]] = answers.probabilities
    return Tagged(known, matrix(y), matrix(answers.values), probabilities)
