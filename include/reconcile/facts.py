"""What a reconciler decides from, and what it decides: plain values, without clock or network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HANG_S = 20.0
"""Ten of the gateway's health checks without an answer: what is only busy has answered one of them."""


class Wanted(StrEnum):
    """What somebody wants of a revision."""

    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"


class ServingState(StrEnum):
    """States of a served model (seed 003: ModelStatus)."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    ERROR = "error"
    STOPPING = "stopping"
    PREEMPTED = "preempted"


class Step(StrEnum):
    """What is done to a revision to bring it to what is wanted."""

    NONE = "none"
    DEPLOY = "deploy"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    REMOVE = "remove"


class Process(StrEnum):
    """What is known of a revision's server process, container or pod."""

    ABSENT = "absent"
    STARTING = "starting"
    ALIVE = "alive"
    STOPPING = "stopping"
    DEAD = "dead"
    """It has ended, and its host does not start it again by itself."""


@dataclass(frozen=True)
class Desired:
    """What shall be, as the tables say. ``generation`` counts the restarts that were asked for. ``who`` and ``why``: of the last change."""

    wanted: Wanted
    generation: int = 0
    who: str = ""
    why: str = ""


@dataclass(frozen=True)
class Actual:
    """What was seen of a revision.

    ``exists``: it is laid out on disk. ``halted``: a person has stopped it. ``waits_for_gpu``: it asks for a GPU and holds none.
    ``busy``: somebody is starting or ending it.
    ``failure``: why its server says that it can't load the model; empty when it doesn't. ``silent_s``: for so long it has lived
    without being ready (seconds). ``was_ready``: it has been ready since its server last started. ``steady_s``: for so long it has
    been ready without a pause (seconds).
    """

    exists: bool = False
    process: Process = Process.ABSENT
    ready: bool = False
    halted: bool = False
    waits_for_gpu: bool = False
    busy: bool = False
    failure: str = ""
    silent_s: float = 0.0
    was_ready: bool = False
    steady_s: float = 0.0


@dataclass(frozen=True)
class Effort:
    """What was done so far: ``tries`` since it was last steady, no other before ``due_s`` (seconds since the epoch); ``done`` is the
    generation whose restart was carried out."""

    tries: int = 0
    due_s: float = 0.0
    done: int = 0


@dataclass(frozen=True)
class Patience:
    """``start_s``: a server may take so long to become ready. ``hang_s``: one that was ready may be silent for so long (seconds). One of
    infinity: its host itself starts it anew."""

    start_s: float = 60.0
    hang_s: float = HANG_S


@dataclass(frozen=True)
class Plan:
    """The step that is due now, the state that people are told, and why; ``due_s``: when the next try is, 0 when none is waited for."""

    step: Step
    state: ServingState
    reason: str
    due_s: float = 0.0
