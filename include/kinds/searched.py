"""What the search for hyperparameters has to do with a kind's task: its metric, and which of its tasks a lifecycle has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from include.gates.metrics import Metric, asked_metrics, further_names, metric_named, metrics_of, score_metric
from include.search.plan import Params, Plan, plan_of
from include.spec import search_faults as fields
from include.spec.document import Fault
from include.spec.problem import nearest

if TYPE_CHECKING:
    from include.spec.schema import Spec

SEARCH = "search"
"""The task of a lifecycle, one of :meth:`include.kinds.kind.Kind.tasks`."""


def search_faults(spec: Spec) -> Iterator[Fault]:
    """Yield what contradicts itself in ``train.search``; nothing where there is none."""
    search = spec.train.search
    if search is None:
        return
    yield from fields.search_faults(search, spec.train.params)
    if spec.train.shared:
        yield fields.AT, "has trials of one process each, and the training has workers.", {"remedy": "Leave the search or the workers out."}
    metric = metric_named(spec.task, search.metric) if search.metric is not None else None
    if search.metric is not None and metric is None:
        known = asked_metrics(spec)
        allowed = {"allowed": (*metrics_of(spec.task), *further_names(spec.task)), "nearest": nearest(search.metric, list(known))}
        yield (*fields.AT, "metric"), f"{search.metric[:80]!r} is no metric of {spec.task}.", allowed
    elif search.direction is not None and (metric is None or metric.higher_is_better) != (search.direction == "maximize"):
        name = search.metric or "the gate's score"
        better = "more" if metric is None or metric.higher_is_better else "less"
        yield (*fields.AT, "direction"), f"{search.direction}s {name}, of which {better} is better.", {"remedy": "Leave it out."}


def tasks(spec: Spec) -> frozenset[str]:
    """Return the task of a spec that searches; none for another."""
    return frozenset() if spec.train.search is None else frozenset({SEARCH})


def searched_metric(spec: Spec) -> Metric:
    """Return the metric that the spec's search is for: its own, or the gate's score."""
    return (metric_named(spec.task, spec.train.search.metric or "") if spec.train.search else None) or score_metric(spec)


def check_first_trial(spec: Spec, params: Params) -> None:
    """Raise InputError where a run's own values lie outside of what its search may try; nothing where there is no search."""
    if getattr(spec.train, "search", None) is not None:
        search_plan(spec, params)


def search_plan(spec: Spec, params: Params) -> Plan:
    """Return what a run's search is bound to; ``params`` are the run's parameters. InputError where its own values lie outside."""
    own = spec.param_defaults("train") | {name: value for name, value in params.items() if name in spec.train.params}
    return plan_of(spec.train.search, own, maximize=searched_metric(spec).higher_is_better)
