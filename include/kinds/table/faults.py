"""How the fields of a table model's spec must fit together."""

from __future__ import annotations

from collections.abc import Iterator

from include.kinds.metric_faults import metric_faults
from include.kinds.rows.faults import column_names
from include.kinds.searched import search_faults
from include.spec.document import Fault, FieldPath
from include.spec.faults import twice
from include.spec.label_faults import label_faults
from include.spec.schema import ModelSpec
from include.spec.trusted import danger


def faults(spec: ModelSpec) -> Iterator[Fault]:
    """Yield everything that contradicts itself in ``spec``, besides what is wrong in any spec."""
    yield from column_names(spec.data)
    yield from _production(spec)
    yield from _trusted(spec.train.trusted_types)
    yield from _plans(spec)
    yield from metric_faults(spec)
    yield from search_faults(spec)
    yield from label_faults(spec)


def _production(spec: ModelSpec) -> Iterator[Fault]:
    if spec.data.production is None:
        return
    at: FieldPath = ("data", "production")
    if not spec.monitor.log.share:
        yield at, "nothing is logged.", {"remedy": "Give `monitor.log.share`, the share of the requests that are kept."}
    if hidden := [name for name in (*spec.monitor.log.redact, *spec.monitor.log.hash) if not name.startswith("outputs.") and name != "key"]:
        yield at, f"the log hides {hidden[0]!r}, which the model would learn from.", {"remedy": "Log it, or learn from the source alone."}
    for name in filter(None, (spec.data.group, spec.data.time, *spec.data.key)):
        if name not in (spec.data.features or ()):
            yield (
                at,
                f"callers send no {name!r}, which decides a row's side.",
                {"remedy": "Leave `data.group`, `key` and `time` out."},
            )


def _trusted(names: tuple[str, ...]) -> Iterator[Fault]:
    for number, name in enumerate(names):
        if why := danger(name):
            yield ("train", "trusted_types", number), why, {"remedy": "Take it out, and give the model a type of its own."}


def _plans(spec: ModelSpec) -> Iterator[Fault]:
    for method in twice(spec.optimize.methods):
        yield ("optimize", "methods"), f"names {str(method)!r} twice.", {"remedy": "Keep one."}
    if not spec.optimize.tensorrt.required:
        return
    at: FieldPath = ("optimize", "tensorrt", "required")
    if not any(method.precision for method in spec.optimize.methods):
        yield at, "`optimize.methods` names no TensorRT method.", {"remedy": "Add one, such as `tensorrt_fp16`."}
    for part, resources in (("optimize", spec.optimize.resources), ("serve", spec.serve.resources)):
        if resources is None:
            yield at, f"a plan needs a GPU, and `{part}.resources` asks for none.", {"remedy": f"Give `{part}.resources: {{gpus: 1}}`."}
