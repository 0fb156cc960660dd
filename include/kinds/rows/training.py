"""A model's figures on rows that it has learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.metrics import metrics_of, score_metric
from include.gates.paired import estimate
from include.kinds.rows import answers
from include.spec.schema import Spec, Task

if TYPE_CHECKING:
    import pandas as pd


def training_metrics(spec: Spec, said: answers.Answers, y: pd.Series[Any], where: str, *, must_score: bool = True) -> dict[str, float]:
    """Return the task's metrics of what a model has ``said`` of training rows whose right answers are ``y``; ``where`` names the model.

    InputError when it answers NaN, or when it ``must_score`` and its score is no finite number (of one class alone there may be none).
    """
    import numpy as np

    numbers = said.values if spec.task is Task.REGRESSION else said.probabilities
    if numbers is not None and not np.isfinite(numbers).all():
        broken = int((~np.isfinite(numbers.reshape(len(y), -1))).any(axis=1).sum())
        raise InputError(
            f"the model answers NaN or infinity for {broken} of {len(y)} training rows.",
            where=where,
            remedy="Look for missing or huge values in the data and for a learning rate that diverges.",
        )
    outcome = answers.outcome_of(spec.task, said, y, answers.known_labels(spec.task, y, said))
    # A metric of the model's own is for rows that it has not learnt from.
    found = {name: estimate(metric, outcome) for name, metric in metrics_of(spec.task).items()}
    metrics = {name: value for name, value in found.items() if np.isfinite(value)}
    score = score_metric(spec).name
    if must_score and score in found and score not in metrics:
        raise InputError(
            f"{score} on the training rows is {found[score]}.", where=where, remedy="The target must vary among the training rows."
        )
    return metrics
