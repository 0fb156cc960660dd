"""The node has the free CPU that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters.counting import counted
from include.placement.fleet import Fleet, Footprint

if TYPE_CHECKING:
    from include.placement.fleet import Array


def keep(fleet: Fleet, ask: Footprint, rows: Array) -> Array | None:
    mask: Array = fleet.cpu[rows] >= ask.request.cpu_milli
    return mask


def reason(fleet: Fleet, ask: Footprint, dropped: Array) -> str:
    best = dropped[int(fleet.cpu[dropped].argmax())]
    return (
        f"cpu: {counted(dropped)} with under {ask.request.cpu_milli / 1000:g} CPUs free; "
        f"most is {fleet.cpu[best] / 1000:.1f} on {fleet.nodes[best].name}"
    )
