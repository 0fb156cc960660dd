"""What a reconciler remembers of one server between its looks: since when it is ready, or silent. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sight:
    """``incarnation``: of the server's process. ``ready_s``, ``silent_s``: since when it is, None while it isn't (seconds, one clock).
    ``was_ready``: in this incarnation."""

    incarnation: str = ""
    ready_s: float | None = None
    silent_s: float | None = None
    was_ready: bool = False


def looked(before: Sight, incarnation: str, *, alive: bool, ready: bool, now_s: float) -> Sight:
    """Return what is remembered after one more look."""
    if not alive:
        return Sight()
    same = before if before.incarnation == incarnation and (before.ready_s or before.silent_s) is not None else Sight(incarnation)
    if ready:
        return Sight(incarnation, same.ready_s if same.ready_s is not None else now_s, None, True)
    return Sight(incarnation, None, same.silent_s if same.silent_s is not None else now_s, same.was_ready)
