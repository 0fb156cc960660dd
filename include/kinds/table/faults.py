"""How the fields of a table model's spec must fit together."""

from __future__ import annotations

from collections.abc import Iterator

from include.kinds.metric_faults import metric_faults
from include.spec.document import Fault, FieldPath
from include.spec.faults import twice
from include.spec.schema import Data, ModelSpec
from include.spec.trusted import danger


def faults(spec: ModelSpec) -> Iterator[Fault]:
    """Yield everything that contradicts itself in ``spec``, besides what is wrong in any spec."""
    yield from column_names(spec.data)
    yield from _production(spec)
    yield from _trusted(spec.train.trusted_types)
    yield from _plans(spec)
    yield from metric_faults(spec)


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


def column_names(data: Data) -> Iterator[Fault]:
    """Yield every column that is named twice, or in two places that contradict each other."""
    features = data.features
    for where, names in (("features", features or ()), ("exclude", data.exclude)):
        for name in twice(names):
            yield ("data", where), f"names {name!r} twice.", {"remedy": "Keep one."}
    if features is not None and not features:
        yield ("data", "features"), "names no column.", {"remedy": "Name at least one, or leave the field out to use every column."}
    for name in features or ():
        at: FieldPath = ("data", "features", (features or ()).index(name))
        if name == data.target:
            yield at, f"{name!r} is the target.", {"remedy": "The model must not see what it predicts: take it out."}
        if name == data.group:
            yield at, f"{name!r} is the group.", {"remedy": "The group only divides train from test: take it out."}
        if name in data.exclude:
            yield at, f"{name!r} is excluded as well.", {"remedy": "Take it out of `data.features` or of `data.exclude`."}
    yield from _sides(data)
    if data.group is not None and data.group == data.target:
        yield ("data", "group"), "is the target.", {"remedy": "Group rows by another column."}
    if data.target in data.exclude:
        yield ("data", "exclude"), f"names the target {data.target!r}.", {"remedy": "The target is never a feature: take it out."}


def _sides(data: Data) -> Iterator[Fault]:
    ways = [name for name, given in (("group", data.group), ("key", data.key), ("time", data.time)) if given]
    if len(ways) > 1:
        yield ("data", ways[1]), f"stands beside `data.{ways[0]}`.", {"remedy": "One of group, key and time decides a row's side: keep it."}
    if data.target in (*data.key, data.time):
        yield ("data", "key" if data.target in data.key else "time"), "is the target.", {"remedy": "Name another column."}
    if data.gap and data.time is None:
        yield ("data", "gap"), "needs `data.time`.", {"remedy": "Name the column of times, or leave the gap out."}


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
