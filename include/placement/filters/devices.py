"""Enough GPUs on the node have enough free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters.counting import counted
from include.placement.fleet import Fleet, Footprint

if TYPE_CHECKING:
    from include.placement.fleet import Array


def keep(fleet: Fleet, ask: Footprint, rows: Array) -> Array | None:
    if not ask.devices:
        return None
    if not ask.request.shared:
        whole: Array = fleet.full[rows] >= ask.devices
        return whole
    part: Array = fleet.free[rows].max(axis=1) >= ask.milli[rows]
    return part


def reason(fleet: Fleet, ask: Footprint, dropped: Array) -> str:
    if ask.request.shared:
        best = dropped[int(fleet.free[dropped].max(axis=1).argmax())]
        most = int(fleet.free[best].max())
        return (
            f"devices: {counted(dropped)} with no GPU {ask.milli[best] / 10:g} % free; most is {most / 10:g} % on {fleet.nodes[best].name}"
        )
    best = dropped[int(fleet.full[dropped].argmax())]
    return f"devices: {counted(dropped)} with under {ask.devices} whole GPUs free; most is {fleet.full[best]} on {fleet.nodes[best].name}"
