"""The node has the free memory that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters.counting import counted
from include.placement.fleet import Fleet, Footprint

if TYPE_CHECKING:
    from include.placement.fleet import Array


def keep(fleet: Fleet, ask: Footprint, rows: Array) -> Array | None:
    mask: Array = fleet.memory[rows] >= ask.request.memory_mib
    return mask


def reason(fleet: Fleet, ask: Footprint, dropped: Array) -> str:
    best = dropped[int(fleet.memory[dropped].argmax())]
    return (
        f"memory: {counted(dropped)} with under {ask.request.memory_mib / 1024:g} GiB of memory free; "
        f"most is {fleet.memory[best] / 1024:.1f} on {fleet.nodes[best].name}"
    )
