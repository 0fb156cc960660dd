"""How the fields of a language model's spec must fit together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from include.kinds.metric_faults import metric_faults
from include.monitoring.meaning import FEWEST
from include.spec.choice import named, serves
from include.spec.document import Fault
from include.spec.faults import twice
from include.spec.llm import HYPERPARAMETERS, LlmSpec, LoadTest, Method
from include.spec.problem import nearest
from include.spec.serve import LLM


def faults(spec: LlmSpec) -> Iterator[Fault]:
    """Yield everything that contradicts itself in ``spec``, besides what is wrong in any spec."""
    yield from _hyperparameters(spec)
    yield from _lengths(spec)
    yield from _forms(spec)
    yield from _load_test(spec.load_test)
    yield from _teacher(spec)
    yield from _judge(spec)
    yield from _monitor(spec)
    yield from _shares(spec)
    yield from _tolerances(spec)
    yield from metric_faults(spec)


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


def _monitor(spec: LlmSpec) -> Iterator[Fault]:
    """What looks are to compare must be in the log, and somebody must be there to judge."""
    monitor, log = spec.monitor, spec.monitor.log
    wanted = {"embedder": monitor.embedder is not None, "judged": monitor.judged > 0}
    for name in (name for name, is_wanted in wanted.items() if is_wanted and not log.share):
        yield ("monitor", name), "looks at what is logged, and nothing is.", {"remedy": "Set `monitor.log.share`, or leave it out."}
    if monitor.judged and spec.evaluate.judge is None:
        yield ("monitor", "judged"), "wants a judge, and there is none.", {"remedy": "Write `evaluate.judge`, or leave it out."}
    if 0 < monitor.judged < FEWEST:
        yield (
            ("monitor", "judged"),
            f"is {monitor.judged}, and fewer than {FEWEST} marks tell nothing.",
            {"remedy": f"Raise it to {FEWEST}."},
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
    for method in twice(spec.quantizations):
        yield ("optimize", "methods"), f"names {str(method)!r} twice.", {"remedy": "Keep one."}


def _load_test(found: LoadTest) -> Iterator[Fault]:
    if any(later <= earlier for earlier, later in pairwise(found.rates)):
        yield ("load_test", "rates"), f"{list(found.rates)} does not rise.", {"remedy": "Each rate is higher than the one before."}
    elif found.min_rate is not None and not any(rate >= found.min_rate for rate in found.rates):
        what = f"{found.min_rate:g} is above every rate that is tried."
        yield ("load_test", "min_rate"), what, {"remedy": "Add it to `load_test.rates`."}


def _shares(spec: LlmSpec) -> Iterator[Fault]:
    train = spec.train
    if train.params["batch_size"].default % train.workers:
        what = f"{train.workers} can't share the chats of a step evenly (batch_size {train.params['batch_size'].default})."
        yield ("train", "workers"), what, {"remedy": "Make `train.params.batch_size` a multiple of it."}


def _tolerances(spec: LlmSpec) -> Iterator[Fault]:
    for name in ("tpot", "finish"):
        margin, tolerance = getattr(spec.canary, f"{name}_margin"), getattr(spec.canary, f"{name}_tolerance")
        if margin is not None and tolerance <= margin:
            yield (
                ("canary", f"{name}_tolerance"),
                f"{tolerance:g} is not above {name}_margin ({margin:g}), so that one trial could be both rolled back and promoted.",
                {"remedy": "Make the tolerance larger than the margin."},
            )
