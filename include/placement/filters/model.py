"""The node's GPUs are of a model that the request allows, and large enough for the GPU memory it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters.counting import counted
from include.placement.fleet import Fleet, Footprint
from include.placement.node import FULL

if TYPE_CHECKING:
    from include.placement.fleet import Array


def keep(fleet: Fleet, ask: Footprint, rows: Array) -> Array | None:
    if not ask.devices or not (ask.request.models or ask.request.gpu_memory_mib):
        return None
    mask: Array = ask.allowed[rows] & (ask.milli[rows] <= FULL)
    return mask


def reason(fleet: Fleet, ask: Footprint, dropped: Array) -> str:
    found = sorted({fleet.kinds[int(kind)] for kind in fleet.kind[dropped]})
    names = ", ".join(f"{model or 'no GPU'} {memory / 1024:.0f} GiB" if memory else model or "no GPU" for model, memory in found)
    wanted = " or ".join(sorted(ask.request.models)) or "any model"
    if ask.request.gpu_memory_mib:
        wanted += f" with {ask.request.gpu_memory_mib / 1024:.1f} GiB"
    return f"model: {counted(dropped)} with {names}, not {wanted}"
