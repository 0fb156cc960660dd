"""The arguments by which a DAG author says what is asked of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict, cast

from gpu_pool.client import explained
from include.pool.ask import Ask


class Asking(TypedDict, total=False):
    """One of ``memory`` (``"20GiB"``, of one GPU), ``gpus`` (whole ones), ``fraction`` (of one GPU) or ``mig`` (a profile); the rest is
    optional. ``priority`` 1 to 10 (5); ``duration`` is what you expect to need: it lets others plan, and lets you start in a gap."""

    memory: str | int
    gpus: int
    fraction: float
    mig: str
    models: str | Sequence[str]
    labels: Mapping[str, str]
    prefer: Mapping[str, str]
    priority: int
    team: str
    preemptible: bool
    duration: timedelta | float
    grace: timedelta | float


NAMES = tuple(Asking.__annotations__)
SECONDS = {"duration": "duration_s", "grace": "grace_s"}


def ask_of(asking: Asking, where: str, **more: Any) -> Ask:
    """The ask. AirflowFailException naming the argument and its remedy."""
    values: dict[str, Any] = {}
    for name, value in asking.items():
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        values[SECONDS.get(name, name)] = list(value) if name == "models" and not isinstance(value, str) else seconds  # type: ignore[call-overload]
    with explained():
        return Ask.from_json({**values, **more}, where)


def taken(kwargs: dict[str, Any]) -> Asking:
    """Takes the arguments of an ask out of an operator's."""
    return cast(Asking, {name: kwargs.pop(name) for name in NAMES if name in kwargs})
