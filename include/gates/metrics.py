"""The metrics of an evaluation, each for many weightings of the rows at once, so that one formula serves the estimate and its bootstrap.

A function takes an outcome of n rows and ``weights`` of shape (replicates, n) (how often each row counts) and returns (replicates,)
values; NaN where the weighted rows do not define it. With unit weights they equal scikit-learn's functions of the same names (see the
tests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates import answering, classification, regression, tagging
from include.spec.schema import Spec, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Metric:
    """A metric by name; ``compute(outcome, weights)`` as the module says.

    ``right`` is there for a metric that is a share of the rows, which exact methods exist for: which rows count.
    """

    name: str
    higher_is_better: bool
    compute: Callable[[Any, Floats], Floats]
    right: Callable[[Any], Bools] | None = None


CLASSIFICATION = (
    Metric("accuracy", True, classification.accuracy, classification.right),
    Metric("balanced_accuracy", True, classification.balanced_accuracy),
    Metric("f1_macro", True, classification.f1_macro),
    Metric("log_loss", False, classification.log_loss),
    Metric("roc_auc_ovr", True, classification.roc_auc_ovr),
    Metric("calibration_error", False, classification.calibration_error),
    Metric("precision_macro", True, classification.precision_macro),
    Metric("average_precision", True, classification.average_precision),
    Metric("brier", False, classification.brier),
)
REGRESSION = (
    Metric("r2", True, regression.r2),
    Metric("mae", False, regression.mae),
    Metric("rmse", False, regression.rmse),
    Metric("median_ae", False, regression.median_ae),
    Metric("mape", False, regression.mape),
    Metric("wape", False, regression.wape),
)
MULTILABEL = (
    Metric("f1_macro", True, tagging.f1_macro),
    Metric("f1_micro", True, tagging.f1_micro),
    Metric("exact_match", True, tagging.exact_match, tagging.right),
    Metric("jaccard", True, tagging.jaccard),
    Metric("average_precision", True, tagging.average_precision),
    Metric("hamming_loss", False, tagging.hamming_loss),
)
BY_CLASS = ("precision", "recall", "f1", "average_precision")
BY_QUANTILE = {"pinball": regression.pinball, "quantile_error": regression.quantile_error}
"""Metrics with a part behind a slash: `recall/yes` is that of the class yes, `pinball/0.9` that of the quantile 0.9."""
RARE = 0.2
"""A class is rare when it has less than this share of what an even split among the classes would give it (two classes: a tenth)."""


CHAT = (
    Metric("exact_match", True, answering.exact_match, lambda o: o.matches),
    Metric("format_rate", True, answering.format_rate, lambda o: o.formed),
    Metric("token_f1", True, answering.token_f1),
    Metric("perplexity", False, answering.perplexity),
    Metric("refusal_rate", False, answering.refusal_rate, lambda o: o.checks.refused),
    Metric("json_rate", True, answering.json_rate),
    Metric("personal_data_rate", False, answering.personal_data_rate, lambda o: o.checks.revealed),
)
MARK = Metric("judge's mark", True, answering.mean_mark)
"""The mean of a judge's marks."""
GOOD = Metric("judge's mark", True, answering.mean_mark, lambda o: o.marks == 1)
"""The same where there are two marks: the share that is good."""
_OF = {Task.CLASSIFICATION: CLASSIFICATION, Task.REGRESSION: REGRESSION, Task.MULTILABEL: MULTILABEL, Task.CHAT: CHAT}


def is_own(name: str) -> bool:
    """Say whether a gate's metric is a function of the model's own, ``module:function``."""
    module, colon, function = name.partition(":")
    return bool(colon) and module.isidentifier() and function.isidentifier()


def _mean(outcome: Any, weights: Floats) -> Floats:
    """The mean of the rows' own figures."""
    found: Floats = weights @ outcome.figures / weights.sum(axis=1)
    return found


def metrics_of(task: Task) -> dict[str, Metric]:
    """The task's metrics by name; the first is the default score."""
    return {metric.name: metric for metric in _OF[task]}


def metric_named(task: Task, name: str) -> Metric | None:
    """The task's metric of that name, also one of a class or quantile (`recall/yes`, `pinball/0.9`); None when there is none."""
    known = metrics_of(task).get(name)
    figure, slash, part = name.partition("/")
    if known is not None or not slash or not part:
        return known
    if task is Task.CLASSIFICATION and figure in BY_CLASS:
        return Metric(name, True, classification.of_class(part, figure))
    if task is Task.MULTILABEL and figure in BY_CLASS:
        return Metric(name, True, tagging.of_label(part, figure))
    if task is Task.REGRESSION and figure in BY_QUANTILE:
        try:
            quantile = float(part)
        except ValueError:
            return None
        return Metric(name, False, BY_QUANTILE[figure](quantile)) if 0 < quantile < 1 else None
    return None


def further_names(task: Task) -> tuple[str, ...]:
    """How the metrics with a part are written."""
    return {
        Task.CLASSIFICATION: tuple(f"{name}/<class>" for name in BY_CLASS),
        Task.REGRESSION: tuple(f"{name}/<quantile>" for name in BY_QUANTILE),
        Task.MULTILABEL: tuple(f"{name}/<label>" for name in BY_CLASS),
    }.get(task, ())


def asked_metrics(spec: Spec) -> dict[str, Metric]:
    """The task's metrics, and those with a part that the gate names."""
    named = [spec.gate.metric, *(bar.metric for bar in spec.gate.bars)]
    parts = {name: metric for name in named if name and (metric := metric_named(spec.task, name))}
    own = spec.gate.metric
    if own is not None and is_own(own) and spec.task is not Task.CHAT:
        parts[own] = Metric(own, True, _mean)
    return metrics_of(spec.task) | parts


def rare_class(labels: Sequence[Any]) -> str:
    """What is rare among ``labels`` (one a row), as a half sentence; empty when no class is."""
    counts = Counter(labels)
    label, rows = min(counts.items(), key=lambda item: item[1])
    if len(counts) < 2 or rows >= RARE * len(labels) / len(counts):
        return ""
    return f"class {label} has {100 * rows / len(labels):.2g} % of the rows"


def default_score(spec: Spec, labels: Sequence[Any] = ()) -> tuple[Metric, str]:
    """The metric that the gate judges by, and why it is another than usual: accuracy says nothing of a rare class."""
    score = score_metric(spec)
    if spec.gate.metric is None and spec.task is Task.CLASSIFICATION and len(labels) and (why := rare_class(labels)):
        return metrics_of(spec.task)["balanced_accuracy"], f"balanced accuracy and not accuracy, since {why}; `gate.metric` chooses another"
    return score, ""


def score_metric(spec: Spec) -> Metric:
    """The metric that the gate judges by. InputError when the gate names a metric that the task has not, or one where less is better."""
    known = asked_metrics(spec)
    for field, name in [
        ("gate.metric", spec.gate.metric),
        *((f"gate.bars[{i}].metric", bar.metric) for i, bar in enumerate(spec.gate.bars)),
    ]:
        if name is not None and name not in known and not (spec.more_metrics and "/" in name and field != "gate.metric"):
            raise InputError(f"{name!r} is no metric of {spec.task}.", where=field, remedy=f"Use one of {', '.join(known)}.")
    score = known[spec.gate.metric] if spec.gate.metric else next(iter(known.values()))
    if not score.higher_is_better:
        better = ", ".join(name for name, metric in known.items() if metric.higher_is_better)
        raise InputError(
            f"less is better in {score.name!r}.", where="gate.metric", remedy=f"Use {better}; put {score.name} in `gate.bars`."
        )
    return score
