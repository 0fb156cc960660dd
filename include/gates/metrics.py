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
from include.spec.schema import Spec, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

CALIBRATION_BINS = 10
SMALLEST_PROBABILITY = 1e-7
"""Probabilities are cut here for the log loss: about float32's epsilon, so that a champion answering in FP32 is treated alike."""


@dataclass(frozen=True)
class Labelled:
    """A classifier's answers: ``truth`` and ``predicted`` are indices into ``labels``, ``probabilities`` (n, len(labels)) or None."""

    labels: tuple[int | str, ...]
    truth: Ints
    predicted: Ints
    probabilities: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Labelled:
        """The answers of some rows (indices or mask)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Labelled(self.labels, self.truth[rows], self.predicted[rows], probabilities)


@dataclass(frozen=True)
class Measured:
    """A regressor's answers."""

    truth: Floats
    predicted: Floats

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> Measured:
        """The answers of some rows (indices or mask)."""
        return Measured(self.truth[rows], self.predicted[rows])


@dataclass(frozen=True)
class Checked:
    """What is wrong with answers whatever they are about, one a row.

    ``refused`` where the reference does not refuse; ``json`` where ``json_wanted``, the reference being JSON; ``revealed`` personal data
    that neither prompt nor reference holds.
    """

    refused: Bools
    json_wanted: Bools
    json: Bools
    revealed: Bools

    def take(self, rows: npt.NDArray[Any]) -> Checked:
        """Those of some rows (indices or mask)."""
        return Checked(self.refused[rows], self.json_wanted[rows], self.json[rows], self.revealed[rows])


@dataclass(frozen=True)
class Answered:
    """A language model's answers, one a row: whether it ``matches`` the reference, has its form (``formed``), and their words' ``overlap``.

    ``loss``: what the reference answer's ``tokens`` cost the model together (nats); None where the model can't be asked for it. ``checks``:
    what else was looked for in the answers, None where nothing was.
    """

    matches: Bools
    formed: Bools
    overlap: Floats
    tokens: Ints
    loss: Floats | None = None
    checks: Checked | None = None

    def __len__(self) -> int:
        return len(self.matches)

    def take(self, rows: npt.NDArray[Any]) -> Answered:
        """The answers of some rows (indices or mask)."""
        loss = None if self.loss is None else self.loss[rows]
        checks = None if self.checks is None else self.checks.take(rows)
        return Answered(self.matches[rows], self.formed[rows], self.overlap[rows], self.tokens[rows], loss, checks)


@dataclass(frozen=True)
class Marked:
    """What a judge thinks of answers, one a row: 0 (worst) to 1 (best)."""

    marks: Floats

    def __len__(self) -> int:
        return len(self.marks)

    def take(self, rows: npt.NDArray[Any]) -> Marked:
        """Those of some rows (indices or mask)."""
        return Marked(self.marks[rows])


Outcome = Labelled | Measured | Answered | Marked


def _right(o: Labelled) -> Bools:
    right: Bools = o.truth == o.predicted
    return right


def _accuracy(o: Labelled, w: Floats) -> Floats:
    return _ratio(w @ _right(o).astype(float), w.sum(axis=1))


def _balanced_accuracy(o: Labelled, w: Floats) -> Floats:
    truth = _one_hot(o.truth, len(o.labels))
    return _mean_defined(_ratio(w @ (truth * (o.truth == o.predicted)[:, None]), w @ truth))


def _f1_macro(o: Labelled, w: Floats) -> Floats:
    truth, predicted = _one_hot(o.truth, len(o.labels)), _one_hot(o.predicted, len(o.labels))
    return _mean_defined(_ratio(2 * (w @ (truth * predicted)), w @ truth + w @ predicted))


def _log_loss(o: Labelled, w: Floats) -> Floats:
    import numpy as np

    if o.probabilities is None:
        return _undefined(w)
    own = np.clip(o.probabilities[np.arange(len(o)), o.truth], SMALLEST_PROBABILITY, 1.0)
    return _ratio(w @ -np.log(own), w.sum(axis=1))


def _roc_auc_ovr(o: Labelled, w: Floats) -> Floats:
    import numpy as np

    if o.probabilities is None:
        return _undefined(w)
    return _mean_defined(np.stack([_auc(o.probabilities[:, k], o.truth == k, w) for k in range(len(o.labels))], axis=1))


def _auc(score: Floats, positive: npt.NDArray[np.bool_], w: Floats) -> Floats:
    """Share of (positive, negative) pairs in the right order, ties half: the Mann-Whitney form."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    ours = np.add.reduceat(w[:, order] * positive[order], starts, axis=1)
    theirs = np.add.reduceat(w[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(theirs, axis=1) - theirs / 2
    return _ratio((ours * below).sum(axis=1), ours.sum(axis=1) * theirs.sum(axis=1))


def _precision_macro(o: Labelled, w: Floats) -> Floats:
    truth, predicted = _one_hot(o.truth, len(o.labels)), _one_hot(o.predicted, len(o.labels))
    return _mean_defined(_ratio(w @ (truth * predicted), w @ predicted))


def _average_precision(o: Labelled, w: Floats) -> Floats:
    """Mean over the classes, each against the others."""
    import numpy as np

    if o.probabilities is None:
        return _undefined(w)
    return _mean_defined(np.stack([_class_average_precision(o.probabilities[:, k], o.truth == k, w) for k in range(len(o.labels))], axis=1))


def _class_average_precision(score: Floats, positive: npt.NDArray[np.bool_], w: Floats) -> Floats:
    """Sum over the thresholds, from high to low, of the gain in recall times the precision there; equal scores are one threshold."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(-score[order]) > 0])
    hits = np.add.reduceat(w[:, order] * positive[order], starts, axis=1)
    found, all_found = np.cumsum(hits, axis=1), np.cumsum(np.add.reduceat(w[:, order], starts, axis=1), axis=1)
    precision = np.nan_to_num(_ratio(found, all_found))
    return _ratio((hits * precision).sum(axis=1), found[:, -1])


def _brier(o: Labelled, w: Floats) -> Floats:
    """Mean squared distance of the probabilities from the truth; half of it with two classes, as usual (scikit-learn)."""
    if o.probabilities is None:
        return _undefined(w)
    distance = ((o.probabilities - _one_hot(o.truth, len(o.labels))) ** 2).sum(axis=1)
    return _ratio(w @ (distance / 2 if len(o.labels) == 2 else distance), w.sum(axis=1))


def _calibration_error(o: Labelled, w: Floats) -> Floats:
    """Expected calibration error over equal-width bins of the top probability (Guo et al., ICML 2017)."""
    import numpy as np

    if o.probabilities is None:
        return _undefined(w)
    top = o.probabilities.max(axis=1)
    bins = _one_hot(np.minimum((top * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1), CALIBRATION_BINS)
    gap = np.abs(w @ (bins * ((o.truth == o.predicted) - top)[:, None]))
    return _ratio(gap.sum(axis=1), w.sum(axis=1))


def _r2(o: Measured, w: Floats) -> Floats:
    total = w.sum(axis=1)
    centred = o.truth - o.truth.mean()
    spread = w @ centred**2 - _ratio((w @ centred) ** 2, total)
    return 1 - _ratio(w @ (o.truth - o.predicted) ** 2, spread)


def _mae(o: Measured, w: Floats) -> Floats:
    return _ratio(w @ abs(o.truth - o.predicted), w.sum(axis=1))


def _rmse(o: Measured, w: Floats) -> Floats:
    import numpy as np

    root: Floats = np.sqrt(_ratio(w @ (o.truth - o.predicted) ** 2, w.sum(axis=1)))
    return root


def _mape(o: Measured, w: Floats) -> Floats:
    """Of the truth; where that is 0, of the smallest number there is next to 1 (scikit-learn), so that it shows."""
    import numpy as np

    return _ratio(w @ (abs(o.truth - o.predicted) / np.maximum(abs(o.truth), np.finfo(float).eps)), w.sum(axis=1))


def _wape(o: Measured, w: Floats) -> Floats:
    return _ratio(w @ abs(o.truth - o.predicted), w @ abs(o.truth))


def _pinball(quantile: float) -> Callable[[Measured, Floats], Floats]:
    """The loss that the quantile itself makes least (Koenker and Bassett, Econometrica 46, 1978)."""

    def pinball(o: Measured, w: Floats) -> Floats:
        import numpy as np

        error = o.truth - o.predicted
        return _ratio(w @ np.maximum(quantile * error, (quantile - 1) * error), w.sum(axis=1))

    return pinball


def _quantile_error(quantile: float) -> Callable[[Measured, Floats], Floats]:
    """How far the share of rows at or below their prediction is from the quantile."""

    def quantile_error(o: Measured, w: Floats) -> Floats:
        return abs(_ratio(w @ (o.truth <= o.predicted).astype(float), w.sum(axis=1)) - quantile)

    return quantile_error


def _of_class(label: str, figure: str) -> Callable[[Labelled, Floats], Floats]:
    """Precision, recall, F1 or average precision of one class, by its label as a text; NaN where no row has it."""

    def of_class(o: Labelled, w: Floats) -> Floats:
        at = next((k for k, known in enumerate(o.labels) if str(known) == label), None)
        if at is None:
            return _undefined(w)
        truth, predicted = (o.truth == at).astype(float), (o.predicted == at).astype(float)
        if figure == "average_precision":
            return _undefined(w) if o.probabilities is None else _class_average_precision(o.probabilities[:, at], o.truth == at, w)
        both = w @ (truth * predicted)
        below = {"precision": w @ predicted, "recall": w @ truth, "f1": (w @ truth + w @ predicted) / 2}[figure]
        return _ratio(both, below)

    return of_class


def _median_ae(o: Measured, w: Floats) -> Floats:
    import numpy as np

    error = abs(o.truth - o.predicted)
    order = np.argsort(error)
    mass = np.cumsum(w[:, order], axis=1)
    half = mass[:, -1:] / 2
    # The middle of the two middle values where the mass splits evenly, as the median of an even number of rows.
    lower, upper = (mass >= half).argmax(axis=1), (mass > half).argmax(axis=1)
    middle: Floats = (error[order][lower] + error[order][upper]) / 2
    return middle


def _exact_match(o: Answered, w: Floats) -> Floats:
    return _ratio(w @ o.matches.astype(float), w.sum(axis=1))


def _format_rate(o: Answered, w: Floats) -> Floats:
    return _ratio(w @ o.formed.astype(float), w.sum(axis=1))


def _token_f1(o: Answered, w: Floats) -> Floats:
    return _ratio(w @ o.overlap, w.sum(axis=1))


def _perplexity(o: Answered, w: Floats) -> Floats:
    """Of a token of the reference answers; a long answer counts for more than a short one."""
    import numpy as np

    if o.loss is None:
        return _undefined(w)
    perplexity: Floats = np.exp(_ratio(w @ o.loss, w @ o.tokens.astype(float)))
    return perplexity


def _refusal_rate(o: Answered, w: Floats) -> Floats:
    return _undefined(w) if o.checks is None else _ratio(w @ o.checks.refused.astype(float), w.sum(axis=1))


def _json_rate(o: Answered, w: Floats) -> Floats:
    """Of the rows whose reference is JSON."""
    if o.checks is None:
        return _undefined(w)
    wanted = o.checks.json_wanted.astype(float)
    return _ratio(w @ (wanted * o.checks.json), w @ wanted)


def _personal_data_rate(o: Answered, w: Floats) -> Floats:
    return _undefined(w) if o.checks is None else _ratio(w @ o.checks.revealed.astype(float), w.sum(axis=1))


def _mean_mark(o: Marked, w: Floats) -> Floats:
    return _ratio(w @ o.marks, w.sum(axis=1))


def _one_hot(index: npt.NDArray[Any], size: int) -> Floats:
    import numpy as np

    hot: Floats = (index[:, None] == np.arange(size)).astype(float)
    return hot


def _ratio(above: Floats, below: Floats) -> Floats:
    import numpy as np

    share: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return share


def _mean_defined(values: Floats) -> Floats:
    import numpy as np

    return _ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(float))


def _undefined(w: Floats) -> Floats:
    import numpy as np

    return np.full(len(w), np.nan)


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
    Metric("accuracy", True, _accuracy, _right),
    Metric("balanced_accuracy", True, _balanced_accuracy),
    Metric("f1_macro", True, _f1_macro),
    Metric("log_loss", False, _log_loss),
    Metric("roc_auc_ovr", True, _roc_auc_ovr),
    Metric("calibration_error", False, _calibration_error),
    Metric("precision_macro", True, _precision_macro),
    Metric("average_precision", True, _average_precision),
    Metric("brier", False, _brier),
)
REGRESSION = (
    Metric("r2", True, _r2),
    Metric("mae", False, _mae),
    Metric("rmse", False, _rmse),
    Metric("median_ae", False, _median_ae),
    Metric("mape", False, _mape),
    Metric("wape", False, _wape),
)
BY_CLASS = ("precision", "recall", "f1", "average_precision")
BY_QUANTILE = {"pinball": _pinball, "quantile_error": _quantile_error}
"""Metrics with a part behind a slash: `recall/yes` is that of the class yes, `pinball/0.9` that of the quantile 0.9."""
RARE = 0.2
"""A class is rare when it has less than this share of what an even split among the classes would give it (two classes: a tenth)."""


CHAT = (
    Metric("exact_match", True, _exact_match, lambda o: o.matches),
    Metric("format_rate", True, _format_rate, lambda o: o.formed),
    Metric("token_f1", True, _token_f1),
    Metric("perplexity", False, _perplexity),
    Metric("refusal_rate", False, _refusal_rate, lambda o: o.checks.refused),
    Metric("json_rate", True, _json_rate),
    Metric("personal_data_rate", False, _personal_data_rate, lambda o: o.checks.revealed),
)
MARK = Metric("judge's mark", True, _mean_mark)
"""The mean of a judge's marks."""
GOOD = Metric("judge's mark", True, _mean_mark, lambda o: o.marks == 1)
"""The same where there are two marks: the share that is good."""
_OF = {Task.CLASSIFICATION: CLASSIFICATION, Task.REGRESSION: REGRESSION, Task.CHAT: CHAT}


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
        return Metric(name, True, _of_class(part, figure))
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
    }.get(task, ())


def asked_metrics(spec: Spec) -> dict[str, Metric]:
    """The task's metrics, and those with a part that the gate names."""
    named = [spec.gate.metric, *(bar.metric for bar in spec.gate.bars)]
    parts = {name: metric for name in named if name and (metric := metric_named(spec.task, name))}
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
