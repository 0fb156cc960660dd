"""What is decided from, of a revision's servers, and what is decided: plain values, without clock or network."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from include.reconcile.facts import Actual, Effort, Patience, ServingState


class Move(StrEnum):
    """What is done to one server of a revision."""

    NONE = "none"
    ADD = "add"
    START = "start"
    RESTART = "restart"
    ROLL = "roll"
    """Its requests go to the others, it finishes what it has begun, and starts anew."""
    ADMIT = "admit"
    """Its golden inputs are asked, and if they are answered rightly it gets requests."""
    REMOVE = "remove"


@dataclass(frozen=True)
class Server:
    """One server as it was seen. ``admitted``: the gateway sends it requests. ``effort.done``: the generation that it was started for.
    ``note``: what was said when something was tried for it last; empty when that went well."""

    number: int
    actual: Actual
    admitted: bool
    effort: Effort = field(default_factory=Effort)
    patience: Patience = field(default_factory=Patience)
    note: str = ""

    @property
    def up(self) -> bool:
        """Whether it answers callers."""
        return self.admitted and self.actual.ready


@dataclass(frozen=True)
class Due:
    """What is due for one server now, its state, and why; ``due_s``: when the next try is, 0 when none is waited for."""

    number: int
    move: Move
    state: ServingState
    reason: str = ""
    due_s: float = 0.0
