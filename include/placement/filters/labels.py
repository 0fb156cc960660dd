"""The node carries every label that the request names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters.counting import counted
from include.placement.fleet import Fleet, Footprint

if TYPE_CHECKING:
    from include.placement.fleet import Array


def keep(fleet: Fleet, ask: Footprint, rows: Array) -> Array | None:
    return None if ask.labelled is None else ask.labelled[rows]


def reason(fleet: Fleet, ask: Footprint, dropped: Array) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in ask.request.labels)
    return f"labels: {counted(dropped)} without {wanted}"
