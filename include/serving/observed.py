"""What is seen of a revision and its server at one moment, without a judgement."""

from __future__ import annotations

from dataclasses import dataclass

from include.runtime.supervisor import State


@dataclass(frozen=True)
class Observed:
    """``program``: its host's word on the server; ``incarnation`` changes with each new start of its process ("" where that isn't known).

    ``busy``: somebody is starting or ending it. ``waits``: it asks for a GPU and holds none. ``start_s``: so long it may take to become
    ready (seconds). ``heals``: its host itself starts it anew when it lives and doesn't answer. ``starts_inside``: a new start of the
    server need not be another incarnation.
    """

    program: State
    incarnation: str = ""
    ready: bool = False
    failure: str = ""
    busy: bool = False
    halted: bool = False
    waits: bool = False
    start_s: float = 60.0
    heals: bool = False
    starts_inside: bool = False
