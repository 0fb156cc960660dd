"""Which act a cause asks for, and whether it may be done now. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from include.spec.schema import Act, Monitor

DAY_S = 86_400.0
RUN_PREFIX = "act__"
"""Runs that an act has begun."""
RETURNED, RETRAINED, SCALED = "Production was taken back", "The model was retrained by an alert", "The model was scaled by an alert"
DAGS = {Act.ROLLBACK: "rollback", Act.RETRAIN: "lifecycle"}


@dataclass(frozen=True)
class Cause:
    """An alert or a verdict that asks for an act: ``key`` tells it from all others, ``name`` is the alert's, or the verdict's kind."""

    key: str
    model: str
    name: str
    severity: str
    summary: str


@dataclass(frozen=True)
class Production:
    """What is known of a model when an act is asked for.

    ``champion`` and ``previous`` are versions, None where there is none. ``on_trial``: a version is. ``condemned``: versions that
    production was taken back from. ``running``: keys of the model's runs under way. ``returns_s``, ``retrains_s``: times of earlier
    returns of production and of earlier retrainings by an act (seconds since the epoch), ``scales_s`` of earlier scaling by one.
    ``servers`` it shall have, of ``most`` that its spec allows. ``held``: why a person has all acts stopped,
    empty if nobody has. ``paused``: DAGs that are.
    """

    champion: int | None = None
    previous: int | None = None
    on_trial: bool = False
    condemned: frozenset[int] = frozenset()
    running: tuple[str, ...] = ()
    returns_s: tuple[float, ...] = ()
    retrains_s: tuple[float, ...] = ()
    scales_s: tuple[float, ...] = ()
    servers: int = 1
    most: int = 1
    held: str = ""
    paused: frozenset[str] = frozenset()


def asked(on_alert: Mapping[str, Act], cause: Cause) -> Act | None:
    """Return what the spec says of the cause: by its name before its severity; None for nothing."""
    return on_alert.get(cause.name, on_alert.get(cause.severity))


def act_id(cause: Cause, act: Act) -> str:
    """Return the name of the act, the same however often it is asked for."""
    return sha256(f"{cause.model}\n{act}\n{cause.key}".encode()).hexdigest()[:32]


def run_id(act: str) -> str:
    """Return the id of the run that carries out the act of this name."""
    return f"{RUN_PREFIX}{act}"


def hindrance(act: Act, monitor: Monitor, known: Production, now_s: float) -> str:
    """Say why the act is not done now, as a sentence; empty if it may be. A notice is always given."""
    if act is Act.NOTIFY:
        return ""
    if known.held:
        return f"A person holds production as it is: {known.held}"
    if act is Act.SCALE:
        return _no_more(known) or _too_often(monitor, SCALED, known.scales_s, now_s)
    dag = f"_{DAGS[act]}"
    if paused := next((name for name in sorted(known.paused) if name.endswith(dag)), ""):
        return f"The DAG {paused} is paused: a person holds it."
    rollback = act is Act.ROLLBACK
    what, times = (RETURNED, known.returns_s) if rollback else (RETRAINED, known.retrains_s)
    return (_no_way_back(known) if rollback else "") or _under_way(known) or _too_often(monitor, what, times, now_s)


def condemned(returns: Iterable[tuple[int, int]]) -> frozenset[int]:
    """Return the versions that production went away from by a return, and not back to since; ``returns``: (from, to), the oldest first."""
    found: set[int] = set()
    for before, after in returns:
        found.add(before)
        found.discard(after)
    return frozenset(found)


def _no_way_back(known: Production) -> str:
    if known.champion is None:
        return "Nothing of it is in production."
    if known.previous is None:
        return "No version was champion before."
    if known.previous in known.condemned:
        return f"Version {known.previous} was taken out of production before: nothing goes back to it by itself."
    return ""


def _under_way(known: Production) -> str:
    if known.running:
        return f"A run of the model is under way: {known.running[0]}."
    return "A version is on trial, which has a judge of its own." if known.on_trial else ""


def _no_more(known: Production) -> str:
    if known.servers < known.most:
        return ""
    return f"It has {known.servers} of at most {known.most} servers (serve.replicas.max)."


def _too_often(monitor: Monitor, what: str, at_s: Iterable[float], now_s: float) -> str:
    times = sorted(at for at in at_s if now_s - at < max(DAY_S, monitor.cool_down_s))
    if times and now_s - times[-1] < monitor.cool_down_s:
        return f"{what} {now_s - times[-1]:.0f} s ago, and monitor.cool_down_s is {monitor.cool_down_s:g}."
    within = [at for at in times if now_s - at < DAY_S]
    if len(within) >= monitor.max_a_day:
        return f"{what} {len(within)} times within a day, and monitor.max_a_day is {monitor.max_a_day}."
    return ""
