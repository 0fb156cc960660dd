"""Metrics that a spec's gate names, and that its task has not."""

from __future__ import annotations

from collections.abc import Iterator

from include.gates.metrics import asked_metrics, further_names, metrics_of
from include.spec.document import Fault, FieldPath
from include.spec.problem import nearest
from include.spec.schema import Spec


def metric_faults(spec: Spec) -> Iterator[Fault]:
    """Yield every metric of the gate that is none of the spec's task, and a score of which less is better."""
    known, usual = asked_metrics(spec), (*metrics_of(spec.task), *further_names(spec.task))
    named: list[tuple[FieldPath, str]] = [(("gate", "bars", index, "metric"), bar.metric) for index, bar in enumerate(spec.gate.bars)]
    if spec.gate.metric is not None:
        named.append((("gate", "metric"), spec.gate.metric))
    for at, name in named:
        if name not in known and not (spec.more_metrics and "/" in name and at != ("gate", "metric")):
            yield at, f"{name[:80]!r} is no metric of {spec.task}.", {"allowed": usual, "nearest": nearest(name, list(known))}
    if spec.gate.metric in known and not known[spec.gate.metric].higher_is_better:
        better = tuple(name for name, metric in known.items() if metric.higher_is_better)
        remedy = "Bound it in `gate.bars` instead."
        yield ("gate", "metric"), f"less is better in {spec.gate.metric!r}.", {"remedy": remedy, "allowed": better}
