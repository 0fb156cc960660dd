"""The classes of a tensor model, in the order of its scores. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from include.errors import InputError
from include.kinds.rows import tags
from include.kinds.rows.answers import universe
from include.kinds.tensor.spec import TensorSpec
from include.spec.schema import Task

MOST_LABELS = 14
"""Of a model that gives a row several: the end of its graph holds a text for each set of them, 2 ** 14 at most."""


def classes_of(spec: TensorSpec, labels: Sequence[Any], width: int = 0) -> tuple[int | str, ...]:
    """Return the classes of a model whose rows have these ``labels``; none of a regression's. ``width``: scores that a brought file gives.

    Raises:
        InputError: the data has a class that the model has not, or the order of a brought file's scores is not known.
    """
    if spec.task is Task.REGRESSION:
        return ()
    several = spec.task is Task.MULTILABEL
    known = universe(*map(tags.parts, set(labels))) if several else universe(labels)
    if several and max(len(spec.data.classes), len(known)) > MOST_LABELS:
        what = f"holds {len(known)} labels, and a model of several labels a row may have {MOST_LABELS}."
        raise InputError(what, where=f"target {spec.data.target!r}", remedy="Leave rare ones out, or make two models of it.")
    said = spec.data.classes
    if not said and spec.base is None:
        return known
    if not said and (any(isinstance(label, str) for label in known) or not width):
        what = f"is needed: which of the file's scores is {', '.join(map(str, known[:3]))}, ... is nowhere said."
        raise InputError(what, where="data.classes", remedy="List the classes in the order of the model's scores.")
    # One score stands for two classes.
    classes = said or tuple(range(max(width, 2)))
    if strange := [label for label in known if label not in classes]:
        what = f"has the class {strange[0]!r}, which the model has not: it has {', '.join(map(str, classes[:10]))}."
        raise InputError(what, where=f"target {spec.data.target!r}", remedy="Correct the target, or `data.classes`.")
    return classes
