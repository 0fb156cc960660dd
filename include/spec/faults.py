"""How the fields of any spec must fit together. Pure: no file is looked at. What differs between kinds is in their folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.spec import cron
from include.spec.document import Fault, FieldPath
from include.spec.names import PLATFORM_PARAMS
from include.spec.parts import AUTO, Param, Resources
from include.spec.problem import nearest
from include.spec.resources import ask_for
from include.spec.schema import Launcher, Spec


def faults(spec: Spec) -> Iterator[Fault]:
    """Yield what contradicts itself in ``spec``, whatever its kind."""
    yield from spec.serve.faults(spec)
    if spec.serve.fallback == spec.name:
        yield ("serve", "fallback"), "is the model itself. Name another one that serves, or leave it out.", {}
    yield from _replicas(spec)
    yield from _slices(spec)
    yield from _params(spec)
    yield from _bars(spec)
    yield from _canary(spec)
    yield from _resources(spec)
    yield from _workers(spec)
    yield from _assets(spec)
    if spec.monitor.labels and not spec.monitor.log.share:
        remedy = "Set `monitor.log.share`, or leave it out."
        yield ("monitor", "labels"), "are of logged requests, and none is logged.", {"remedy": remedy}
    for at, schedule in ((("schedule",), spec.schedule), (("monitor", "schedule"), spec.monitor.schedule)):
        if schedule is not None and (why := cron.fault(schedule)):
            words = {"allowed": (*cron.PRESETS, "five cron fields such as '30 2 * * *'"), "nearest": nearest(schedule, cron.PRESETS)}
            yield at, why, words


def twice(names: tuple[Any, ...]) -> list[Any]:
    """Return the names that stand there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _assets(spec: Spec) -> Iterator[Fault]:
    for name in twice(spec.on.assets):
        yield ("on", "assets"), f"names {name!r} twice.", {"remedy": "Keep one."}
    for index, name in enumerate(spec.on.assets):
        if name.startswith("airflow:"):
            yield ("on", "assets", index), "Airflow keeps the scheme `airflow` to itself.", {"remedy": "Name the asset that a DAG updates."}
        elif name == f"updraft://{spec.name}/data":
            yield ("on", "assets", index), "is the model's own asset, which starts it anyway.", {"remedy": "Leave it out."}


def _replicas(spec: Spec) -> Iterator[Fault]:
    replicas, at = spec.serve.replicas, ("serve", "replicas")
    if replicas.min > replicas.max:
        yield (*at, "min"), f"is above max, which is {replicas.max}.", {"remedy": "Raise max, or lower min."}
    if replicas.in_flight is not None and replicas.min == replicas.max:
        yield (*at, "in_flight"), "changes nothing where min is max.", {"remedy": "Raise max, or leave it out."}
    for expression, least in replicas.schedule.items():
        if why := cron.fault(expression):
            yield (*at, "schedule"), why, {"remedy": "Use five cron fields such as '0 7 * * 1-5'."}
        elif least > replicas.max:
            yield (*at, "schedule"), f"asks for {least} servers at {expression!r}, and max is {replicas.max}.", {"remedy": "Raise max."}


def _slices(spec: Spec) -> Iterator[Fault]:
    for name in twice(spec.gate.slices):
        yield ("gate", "slices"), f"names {name!r} twice.", {"remedy": "Keep one."}


def _params(spec: Spec) -> Iterator[Fault]:
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


def _bars(spec: Spec) -> Iterator[Fault]:
    for index, bar in enumerate(spec.gate.bars):
        at = ("gate", "bars", index)
        if bar.min is None and bar.max is None:
            yield at, f"the bar on {bar.metric!r} has neither `min` nor `max`.", {"remedy": "Give at least one."}
        elif bar.min is not None and bar.max is not None and bar.min > bar.max:
            yield at, f"no {bar.metric!r} is at least {bar.min:g} and at most {bar.max:g}.", {"remedy": "Swap them."}


def _resources(spec: Spec) -> Iterator[Fault]:
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


def _workers(spec: Spec) -> Iterator[Fault]:
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


def _canary(spec: Spec) -> Iterator[Fault]:
    steps, canary = spec.canary.steps, spec.canary
    if any(later <= earlier for earlier, later in pairwise(steps)):
        yield ("canary", "steps"), f"{list(steps)} does not rise.", {"remedy": "Each step takes more traffic than the one before."}
    if canary.look_s > canary.step_s:
        yield (
            ("canary", "look_s"),
            f"{canary.look_s:g} s is longer than a step ({canary.step_s:g} s).",
            {"remedy": "Look at least once a step."},
        )
