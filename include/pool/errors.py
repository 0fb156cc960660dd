"""How the pool refuses; each has one HTTP status."""

from __future__ import annotations

from include.errors import InputError, UpdraftError
from include.pool.ask import Ask


class Impossible(InputError):
    """No node could take it even if all were idle (422). ``nearest`` is the nearest ask that one could take, None if there is none."""

    def __init__(self, what: str, nearest: Ask | None = None, *, remedy: str = "") -> None:
        self.nearest = nearest
        super().__init__(what, where="request", remedy=remedy or (f"The nearest possible: {nearest.size()}." if nearest else ""))


class Missing(UpdraftError):
    """There is no such node, request, lease or quota (404)."""


class Conflict(UpdraftError):
    """Somebody else has it by now: an old fencing token, another's node, a report that came late (409)."""


class Gone(UpdraftError):
    """It has ended (410)."""
