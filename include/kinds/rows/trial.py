"""One trial of a search over rows: cross-validated on the training rows, fold after fold. Held-out rows are not given to it.

What a fold has found is kept among the step's checkpoints, so that a trial that was killed goes on with its next fold. A training's own
checkpoints (``$UPDRAFT_CHECKPOINTS``) are each fold's alone: what another fold has learnt from is what this one is judged by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import InputError
from include.gates.metrics import Metric, default_score, metric_named
from include.gates.outcomes import Labelled
from include.gates.paired import estimate
from include.kinds.rows import answers
from include.kinds.rows.rows import Rows
from include.kinds.rows.split import moments, row_hashes
from include.search import outcomes
from include.search.folds import Fold, by_time, dealt
from include.search.outcomes import Judged
from include.search.pruning import gives_up
from include.spec.data import Data
from include.spec.schema import Spec, Task
from include.steps import checkpoints
from include.steps.context import StepContext
from include.steps.tracking import RUN_INPUT

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

Fit = Callable[[Fold], answers.Answers]


def run(ctx: StepContext, spec: Spec, train: Rows, fit: Fit) -> dict[str, Any]:
    """Judge the run's parameters on the rows of ``train``; ``fit`` learns from a fold's rows and answers the others of it, in order.

    Result: ``value`` (the mean over the folds; None of a trial that was given up), ``steps`` (the mean after each fold), ``pruned``,
    ``metric``, ``maximize``, ``outcomes`` (path), ``seconds``. Raises InputError where the score is no finite number.
    """
    asked = ctx.request.trial
    if RUN_INPUT in ctx.request.inputs:
        os.environ["MLFLOW_RUN_ID"] = ctx.request.inputs[RUN_INPUT]  # what the training itself logs goes to the trial's own run
    metric = trial_metric(spec, train, str(asked["metric"]))
    folds = folds_of(train, spec, int(asked["folds"]), int(asked["seed"]))
    bars = {int(step): float(value) for step, value in asked["bars"]}
    started = time.monotonic()
    judged: list[Judged] = []
    values: list[float] = []
    steps: list[tuple[int, float]] = []
    for number, fold in enumerate(folds, 1):
        judged.append(_kept_or(number, lambda fold=fold: _judge(fold, train, fit(fold), spec)))  # type: ignore[misc]
        values.append(_value(metric, judged[-1], number))
        mean = sum(values) / number
        steps.append((number, mean))
        print(f"Fold {number} of {len(folds)}: {metric.name} {values[-1]:.5g}, so far {mean:.5g}.", flush=True)
        if number < len(folds) and gives_up(number, mean, bars, maximize=metric.higher_is_better):
            print(f"Given up: {metric.name} {mean:.5g} does not reach {bars[number]:.5g}.", flush=True)
            break
    pruned = len(judged) < len(folds)
    outcomes.write(ctx.out / outcomes.FILE, judged)
    return {
        "value": None if pruned else steps[-1][1],
        "steps": steps,
        "pruned": pruned,
        "metric": metric.name,
        "maximize": metric.higher_is_better,
        "outcomes": str(ctx.out / outcomes.FILE),
        "seconds": time.monotonic() - started,
        "rows": len(train),
    }


def trial_metric(spec: Spec, train: Rows, name: str) -> Metric:
    """Return the metric of that name; of an empty one the gate's, which a rare class among the training rows changes as it does there."""
    return (metric_named(spec.task, name) if name else None) or default_score(spec, train.y.tolist())[0]


def folds_of(train: Rows, spec: Spec, folds: int, seed: int) -> list[Fold]:
    """Return the folds of the training rows. InputError where there are too few rows for one."""
    data: Data = spec.data
    if data.time is not None:
        found = by_time(moments(train.table[data.time]), folds, data.gap)
    else:
        columns = [data.group] if data.group is not None else sorted(data.key) or sorted(map(str, train.table.columns))
        classes = train.y.tolist() if spec.task is Task.CLASSIFICATION else None
        found = dealt(row_hashes(train.table[columns]), classes, folds, seed)
    for number, fold in enumerate(found, 1):
        if not len(fold.learn) or not len(fold.judge):
            side = "learn from" if len(fold.judge) else "be judged by"
            raise InputError(
                f"fold {number} of {len(found)} has no row to {side}, of {len(train)} training rows.",
                where="train.search.folds",
                remedy="Give fewer folds, or more rows" + (", or groups." if data.group else "."),
            )
    return found


def _judge(fold: Fold, train: Rows, said: answers.Answers, spec: Spec) -> Judged:
    import numpy as np

    numbers = said.values if spec.task is Task.REGRESSION else said.probabilities
    if numbers is not None and not np.isfinite(numbers).all():
        raise InputError(
            "the model answers NaN or infinity.",
            where=f"train.entry {spec.train.entry}",
            remedy="Look for a learning rate that diverges; narrow the range that is searched.",
        )
    known = answers.universe(train.y, said.classes, said.values) if spec.task is Task.CLASSIFICATION else ()
    outcome = answers.outcome(said, train.y.iloc[fold.judge], known)
    return Judged(fold.judge, outcome)


def _value(metric: Metric, judged: Judged, number: int) -> float:
    value = estimate(metric, judged.outcome)
    if value != value or value in (float("inf"), float("-inf")):
        kinds = len(set(judged.outcome.truth.tolist())) if isinstance(judged.outcome, Labelled) else 0
        why = f", whose {len(judged.rows)} rows have one class" if kinds == 1 else ""
        raise InputError(
            f"{metric.name} is not defined on fold {number}{why}.",
            where="train.search.metric",
            remedy="Give fewer folds, or another metric.",
        )
    return value


def _kept_or(number: int, judge: Callable[[], Judged]) -> Judged:
    """What fold ``number`` has found, from an earlier try where that got so far."""
    folder = os.environ.get("UPDRAFT_CHECKPOINTS")
    if folder is None:
        return judge()
    path = Path(folder) / f"fold-{number}.npz"
    if path.is_file():
        try:
            return outcomes.read(path)[0]
        except (InputError, IndexError):
            print(f"What was kept of fold {number} can't be read: it is done again.", flush=True)
    with _own_checkpoints(Path(folder), number):
        found = judge()
    outcomes.write(path, [found])
    checkpoints.saved()
    return found


@contextmanager
def _own_checkpoints(folder: Path, number: int) -> Iterator[None]:
    own = folder / f"fold-{number}"
    own.mkdir(exist_ok=True)
    told = os.environ.get(checkpoints.VARIABLE)
    os.environ |= {"UPDRAFT_CHECKPOINTS": str(own), checkpoints.VARIABLE: told or str(folder / checkpoints.FILE)}
    try:
        yield
    finally:
        os.environ["UPDRAFT_CHECKPOINTS"] = str(folder)
        if told is None:
            del os.environ[checkpoints.VARIABLE]
