"""How many servers a revision shall have. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """What a model's spec allows: ``serve.replicas``."""

    least: int = 1
    most: int = 1


def number_for(bounds: Bounds, said: int | None, asked: bool) -> int:
    """Return how many servers a revision shall have. ``said``: what somebody has said of its model, None for nothing; ``asked``: callers
    reach it, or copies of their requests do.

    Every revision that is asked has as many as the model shall have, whatever its share: whoever may be given all of the traffic in the
    next second, by a promotion or a way back, can answer it. One that nobody asks has one.
    """
    if not asked:
        return 1
    return min(max(said if said is not None else bounds.least, bounds.least), bounds.most)
