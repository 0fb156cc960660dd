"""How the fields of a spec must fit together. Pure: no file is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.gates.metrics import asked_metrics, further_names, metrics_of
from include.spec import cron
from include.spec.choice import named, serves
from include.spec.document import Fault, FieldPath
from include.spec.llm import HYPERPARAMETERS, AnySpec, LlmSpec, LoadTest, Method
from include.spec.names import PLATFORM_PARAMS
from include.spec.parts import AUTO, Param, Resources
from include.spec.problem import nearest
from include.spec.resources import ask_for
from include.spec.schema import Data, Launcher, ModelSpec
from include.spec.serve import LLM


def faults(spec: AnySpec) -> Iterator[Fault]:
    """Everything that contradicts itself in ``spec``."""
    if isinstance(spec, LlmSpec):
        yield from _hyperparameters(spec)
        yield from _lengths(spec)
        yield from _forms(spec)
        yield from _load_test(spec.load_test)
        yield from _teacher(spec)
        yield from _judge(spec)
    else:
        yield from _columns(spec.data)
        yield from _plans(spec)
    yield from spec.serve.faults(spec)
    yield from _slices(spec)
    yield from _params(spec)
    yield from _metrics(spec)
    yield from _bars(spec)
    yield from _canary(spec)
    yield from _resources(spec)
    yield from _workers(spec)
    if spec.schedule is not None and (why := cron.fault(spec.schedule)):
        yield (
            ("schedule",),
            why,
            {"allowed": (*cron.PRESETS, "five cron fields such as '30 2 * * *'"), "nearest": nearest(spec.schedule, cron.PRESETS)},
        )


def _twice(names: tuple[Any, ...]) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]


def _columns(data: Data) -> Iterator[Fault]:
    features = data.features
    for where, names in (("features", features or ()), ("exclude", data.exclude)):
        for name in _twice(names):
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
    for method in _twice(spec.optimize.methods):
        yield ("optimize", "methods"), f"names {str(method)!r} twice.", {"remedy": "Keep one."}
    if not spec.optimize.tensorrt.required:
        return
    at: FieldPath = ("optimize", "tensorrt", "required")
    if not any(method.precision for method in spec.optimize.methods):
        yield at, "`optimize.methods` names no TensorRT method.", {"remedy": "Add one, such as `tensorrt_fp16`."}
    for part, resources in (("optimize", spec.optimize.resources), ("serve", spec.serve.resources)):
        if resources is None:
            yield at, f"a plan needs a GPU, and `{part}.resources` asks for none.", {"remedy": f"Give `{part}.resources: {{gpus: 1}}`."}


def _hyperparameters(spec: LlmSpec) -> Iterator[Fault]:
    for name, param in spec.train.params.items():
        known = HYPERPARAMETERS.get(name)
        if known is None:
            allowed = tuple(HYPERPARAMETERS)
            yield ("train", "params", name), "is no hyperparameter of fine-tuning.", {"allowed": allowed, "nearest": nearest(name, allowed)}
        elif type(param.default) is not type(known.default):
            kind = "a whole number" if isinstance(known.default, int) else "a number"
            yield ("train", "params", name), f"must be {kind}, not {param.default!r}.", {"remedy": known.description}


def _lengths(spec: LlmSpec) -> Iterator[Fault]:
    if spec.data.max_tokens > spec.serve.context:
        what = f"is {spec.data.max_tokens}, and the server's `serve.context` {spec.serve.context}: held-out chats may not fit in it."
        yield ("data", "max_tokens"), what, {"remedy": "Lower it, or raise `serve.context`."}


def _teacher(spec: LlmSpec) -> Iterator[Fault]:
    distilled = spec.train.method is Method.DISTILL
    if distilled and spec.train.teacher is None:
        yield ("train", "teacher"), "is missing.", {"remedy": "Name the model to learn from, as `base` names the one that learns."}
    if not distilled and spec.train.teacher is not None:
        yield (
            ("train", "teacher"),
            f"is not used by `method: {spec.train.method}`.",
            {"remedy": "Leave it out, or use `distill`."},
        )


def _judge(spec: LlmSpec) -> Iterator[Fault]:
    judge = spec.evaluate.judge
    if judge is None or judge.connection is not None:
        return
    if judge.model is None:
        remedy = "Name a model that the gateway serves, or the Airflow connection of one elsewhere in `connection`."
        yield ("evaluate", "judge"), "names neither `model` nor `connection`.", {"remedy": remedy}
    elif judge.model == spec.name:
        yield ("evaluate", "judge", "model"), "is the model that is judged.", {"remedy": "Name another: models favour what they said."}


def _forms(spec: LlmSpec) -> Iterator[Fault]:
    served = spec.serve.forms
    for index, method in enumerate(spec.quantizations):
        if method not in served:
            others = [named(serve) for serve in serves(LLM) if method in serve.forms]
            what, remedy = f"{spec.serve.backend} does not serve {method}.", f"That is for `serve.backend: {others[0]}`."
            yield ("optimize", "methods", index), what, {"remedy": remedy, "allowed": served}
    for method in _twice(spec.quantizations):
        yield ("optimize", "methods"), f"names {str(method)!r} twice.", {"remedy": "Keep one."}


def _load_test(found: LoadTest) -> Iterator[Fault]:
    if any(later <= earlier for earlier, later in pairwise(found.rates)):
        yield ("load_test", "rates"), f"{list(found.rates)} does not rise.", {"remedy": "Each rate is higher than the one before."}
    elif found.min_rate is not None and not any(rate >= found.min_rate for rate in found.rates):
        what = f"{found.min_rate:g} is above every rate that is tried."
        yield ("load_test", "min_rate"), what, {"remedy": "Add it to `load_test.rates`."}


def _slices(spec: AnySpec) -> Iterator[Fault]:
    for name in _twice(spec.gate.slices):
        yield ("gate", "slices"), f"names {name!r} twice.", {"remedy": "Keep one."}


def _params(spec: AnySpec) -> Iterator[Fault]:
    for part in ("train", "serve"):
        params: dict[str, Param] = getattr(spec, part).params
        for name, param in params.items():
            at = (part, "params", name)
            if name in PLATFORM_PARAMS:
                yield at, "is the name of one of the platform's own run parameters.", {"remedy": "Choose another name."}
            elif part == "serve" and name in spec.train.params:
                yield at, "is a parameter of `train.params` too, and a run has one form.", {"remedy": "Choose another name."}
            yield from _param(at, param)


def _param(at: FieldPath, param: Param) -> Iterator[Fault]:
    if (param.minimum is not None or param.maximum is not None) and (isinstance(param.default, bool | str)):
        yield at, "has a minimum or maximum, but its default is no number.", {"remedy": "Leave them out, or make the default a number."}
    elif param.minimum is not None and param.maximum is not None and param.minimum > param.maximum:
        yield (*at, "minimum"), f"{param.minimum:g} is above the maximum {param.maximum:g}.", {"remedy": "Swap them."}
    elif why := unfit(param, param.default):
        yield (*at, "default"), why, {"remedy": "Choose a default that the parameter allows."}


def unfit(param: Param, value: Any) -> str | None:
    """Why ``value`` (of the right type) is none that ``param`` allows; None when it is."""
    if param.choices is not None and not any(type(value) is type(choice) and value == choice for choice in param.choices):
        return f"{value!r} is none of the choices {', '.join(map(str, param.choices))}."
    if isinstance(value, bool | str):
        return None
    if param.minimum is not None and value < param.minimum:
        return f"{value} is below the minimum {param.minimum:g}."
    if param.maximum is not None and value > param.maximum:
        return f"{value} is above the maximum {param.maximum:g}."
    return None


def _metrics(spec: AnySpec) -> Iterator[Fault]:
    known, usual = asked_metrics(spec), (*metrics_of(spec.task), *further_names(spec.task))
    named: list[tuple[FieldPath, str]] = [(("gate", "bars", index, "metric"), bar.metric) for index, bar in enumerate(spec.gate.bars)]
    if spec.gate.metric is not None:
        named.append((("gate", "metric"), spec.gate.metric))
    for at, name in named:
        if name not in known:
            yield at, f"{name[:80]!r} is no metric of {spec.task}.", {"allowed": usual, "nearest": nearest(name, list(known))}
    if spec.gate.metric in known and not known[spec.gate.metric].higher_is_better:
        better = tuple(name for name, metric in known.items() if metric.higher_is_better)
        remedy = "Bound it in `gate.bars` instead."
        yield ("gate", "metric"), f"less is better in {spec.gate.metric!r}.", {"remedy": remedy, "allowed": better}


def _bars(spec: AnySpec) -> Iterator[Fault]:
    for index, bar in enumerate(spec.gate.bars):
        at = ("gate", "bars", index)
        if bar.min is None and bar.max is None:
            yield at, f"the bar on {bar.metric!r} has neither `min` nor `max`.", {"remedy": "Give at least one."}
        elif bar.min is not None and bar.max is not None and bar.min > bar.max:
            yield at, f"no {bar.metric!r} is at least {bar.min:g} and at most {bar.max:g}.", {"remedy": "Swap them."}


def _resources(spec: AnySpec) -> Iterator[Fault]:
    for part in ("train", "optimize", "serve"):
        resources: Resources | None = getattr(spec, part).resources
        if resources is None:
            continue
        at: FieldPath = (part, "resources")
        if part == "serve":
            if resources.estimate is not None:
                yield (*at, "estimate"), "is of a training.", {"remedy": "Leave it out: `memory: auto` takes the model that is served."}
                continue
            if resources.memory == AUTO and not spec.serve.sizes_memory:
                remedy = "Give a size such as `20GiB`."
                yield (*at, "memory"), f"`auto` is not known of {spec.serve.backend}.", {"remedy": remedy}
                continue
        elif (resources.memory == AUTO) != (resources.estimate is not None):
            remedy = "Give both, or a size such as `20GiB`."
            yield (*at, "memory"), "`auto` and `estimate` belong together.", {"remedy": remedy}
            continue
        try:
            ask_for(resources.model_copy(update={"memory": 1, "estimate": None} if resources.memory == AUTO else {}), Path(), "")
        except InputError as error:
            field = error.where.strip(".")
            yield (*at, field if getattr(resources, field, None) else "gpus"), error.what, {"remedy": error.remedy}


def _workers(spec: AnySpec) -> Iterator[Fault]:
    train = spec.train
    for part in ("optimize", "serve"):
        resources: Resources | None = getattr(spec, part).resources
        if resources is not None and resources.nodes > 1:
            yield (part, "resources", "nodes"), "only training runs on several nodes.", {"remedy": "Leave it out."}
    at: FieldPath = ("train", "workers")
    nodes = train.resources.nodes if train.resources else 1
    if nodes > 1 and train.workers % nodes:
        yield at, f"{train.workers} can't be spread evenly over {nodes} nodes.", {"remedy": f"Give a multiple of {nodes}."}
    elif nodes > 1 and train.launcher is Launcher.TORCHRUN and spec.target in ("process", "docker"):
        what = f"target {spec.target} is one machine."
        yield ("train", "resources", "nodes"), what, {"remedy": "Write `target: kubernetes`, or leave it out."}
    elif train.launcher is Launcher.RAY and train.resources is not None and not train.resources.gpus:
        yield ("train", "resources"), "Ray hands out whole GPUs.", {"remedy": "Give `gpus`, or leave it out."}
    elif train.resources is not None and train.workers // nodes > max(train.resources.gpus or 0, 1):
        most = max(train.resources.gpus or 0, 1) * nodes
        what = f"{train.workers} are more than the {most} GPU{'s' if most > 1 else ''} of `train.resources`, and two can't share one."
        yield at, what, {"remedy": "Ask for as many with `train.resources.gpus` (on each of `nodes`)."}
    if train.shared and train.runtime == "trainer":
        what = f"runtime {train.runtime} has no torch: scikit-learn is not distributed."
        yield (at if train.workers > 1 else ("train", "launcher")), what, {"remedy": "Write `train.runtime: llm`, or leave it out."}
    if isinstance(spec, LlmSpec) and train.params["batch_size"].default % train.workers:
        what = f"{train.workers} can't share the chats of a step evenly (batch_size {train.params['batch_size'].default})."
        yield at, what, {"remedy": "Make `train.params.batch_size` a multiple of it."}


def _canary(spec: AnySpec) -> Iterator[Fault]:
    steps, canary = spec.canary.steps, spec.canary
    if any(later <= earlier for earlier, later in pairwise(steps)):
        yield ("canary", "steps"), f"{list(steps)} does not rise.", {"remedy": "Each step takes more traffic than the one before."}
    if canary.look_s > canary.step_s:
        yield (
            ("canary", "look_s"),
            f"{canary.look_s:g} s is longer than a step ({canary.step_s:g} s).",
            {"remedy": "Look at least once a step."},
        )
    for name in ("tpot", "finish") if isinstance(spec, LlmSpec) else ():
        margin, tolerance = getattr(canary, f"{name}_margin"), getattr(canary, f"{name}_tolerance")
        if margin is not None and tolerance <= margin:
            yield (
                ("canary", f"{name}_tolerance"),
                f"{tolerance:g} is not above {name}_margin ({margin:g}), so that one trial could be both rolled back and promoted.",
                {"remedy": "Make the tolerance larger than the margin."},
            )
