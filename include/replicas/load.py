"""How many servers a model's load asks for: fast up, slow down. Pure.

As Kubernetes' HorizontalPodAutoscaler with behaviour windows does: of what the load asked for over the last ``up_s`` the least counts for
more servers, and over the last ``down_s`` the most for fewer, so that a moment's burst starts none and a moment's lull ends none. The
defaults (10 requests under way a server, 30 s, 300 s) are those of seed 004, 4.2.1; the tolerance is the HPA's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from include.replicas.number import Bounds

MEAN_S = 15.0
"""The load is the mean over so long: single looks at a server that answers in milliseconds are all or nothing (seconds)."""
TOLERANCE = 0.1
"""So far from the aim, as a part of it, nothing changes."""


@dataclass(frozen=True)
class Aim:
    """``in_flight``: requests under way for each server, those that wait included; ``up_s``, ``down_s``: how long more, or less, must be
    asked for (seconds)."""

    in_flight: float
    up_s: float = 30.0
    down_s: float = 300.0


@dataclass(frozen=True)
class Sample:
    """Requests of a model that were under way at one moment (seconds, one clock)."""

    at_s: float
    in_flight: float


@dataclass(frozen=True)
class Change:
    """How many servers there shall be from now on, and why."""

    replicas: int
    reason: str


def kept(samples: Sequence[Sample], aim: Aim, now_s: float) -> list[Sample]:
    """Return the samples that still count."""
    longest = max(aim.up_s, aim.down_s) + MEAN_S
    return [one for one in samples if one.at_s >= now_s - longest]


def change(aim: Aim, bounds: Bounds, count: int, samples: Sequence[Sample], now_s: float) -> Change | None:
    """Return how many servers there shall be instead of ``count``, None when it stays so. Nothing is changed by a load that has been looked
    at for less long than the change asks for."""
    if not samples:
        return None
    asked = _asked(aim, bounds, count, samples)
    since_s = samples[0].at_s
    lately = [number for at_s, number in asked if at_s >= now_s - aim.up_s]
    if since_s <= now_s - aim.up_s and lately and (more := min(lately)) > count:
        return Change(more, _why(aim, samples, now_s, aim.up_s))
    long = [number for at_s, number in asked if at_s >= now_s - aim.down_s]
    if since_s <= now_s - aim.down_s and long and (fewer := max(long)) < count:
        return Change(fewer, _why(aim, samples, now_s, aim.down_s))
    return None


def _asked(aim: Aim, bounds: Bounds, count: int, samples: Sequence[Sample]) -> list[tuple[float, int]]:
    """What the mean load asked for at each sample, within bounds."""
    found, first, total = [], 0, 0.0
    for index, one in enumerate(samples):
        total += one.in_flight
        while samples[first].at_s < one.at_s - MEAN_S:
            total -= samples[first].in_flight
            first += 1
        found.append((one.at_s, _number(aim, bounds, count, total / (index - first + 1))))
    return found


def _number(aim: Aim, bounds: Bounds, count: int, in_flight: float) -> int:
    near = abs(in_flight / (aim.in_flight * count) - 1) <= TOLERANCE
    wanted = count if near else math.ceil(round(in_flight / aim.in_flight, 9))
    return min(max(wanted, bounds.least, 1), bounds.most)


def _why(aim: Aim, samples: Sequence[Sample], now_s: float, over_s: float) -> str:
    recent = [one.in_flight for one in samples if one.at_s >= now_s - MEAN_S] or [samples[-1].in_flight]
    mean = sum(recent) / len(recent)
    return f"{mean:.1f} requests under way, {aim.in_flight:g} a server, for {over_s:g} s."
