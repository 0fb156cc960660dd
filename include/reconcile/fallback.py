"""When another model answers under a model's name, and when no longer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

DOWN_S = 3.0
"""A model that nobody of its own answers for so long is down: longer than the gateway's own retries, and than a restart takes to begin."""
BACK_S = 3.0
"""And one that answers again for so long is back."""


@dataclass(frozen=True)
class Standing:
    """``wished``: the model that its spec names, None for none. ``active``: who answers under its name now. ``wanted``: somebody wants
    it to serve. ``down_s``, ``up_s``: for so long nothing of its own has been ready, or something has (seconds; the other is 0).
    ``other_live``: the wished one has a revision with traffic that is ready. ``fits``: it speaks what the model speaks."""

    wished: str | None
    active: str | None
    wanted: bool
    down_s: float
    up_s: float
    other_live: bool
    fits: bool = True


@dataclass(frozen=True)
class Switch:
    """Who is to answer under the model's name from now on (None: itself), and why."""

    by: str | None
    reason: str


def decide_fallback(model: str, standing: Standing) -> Switch | None:
    """Return the switch that is due, None when all stays as it is."""
    wished, active = standing.wished, standing.active
    if active is not None and active != wished:
        return Switch(None, f"The spec of {model} names {wished or 'nobody'} as its fallback, not {active}.")
    if wished is None:
        return None
    if active is not None:
        return _back(model, wished, standing)
    if standing.wanted and standing.other_live and standing.fits and standing.down_s >= DOWN_S:
        return Switch(wished, f"Nothing of {model} has been ready for {DOWN_S:g} s.")
    return None


def _back(model: str, wished: str, standing: Standing) -> Switch | None:
    if standing.up_s >= BACK_S:
        return Switch(None, f"{model} answers by itself again.")
    if not standing.wanted:
        return Switch(None, f"{model} is not to serve any more.")
    return None if standing.other_live else Switch(None, f"{wished} does not answer either.")
