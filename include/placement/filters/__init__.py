"""Which nodes can take a request at all. One rule a file; each returns what it keeps, and why the others went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.placement.filters import cpu, devices, labels, memory, model
from include.placement.fleet import Fleet, Footprint

if TYPE_CHECKING:
    from include.placement.fleet import Array

IN_ORDER = (labels, model, devices, cpu, memory)
"""Each module has ``keep(fleet, ask, rows) -> mask`` and ``reason(fleet, ask, dropped) -> sentence``."""


def fitting(fleet: Fleet, ask: Footprint, rows: Array) -> Array:
    """The rows that every filter keeps; no reasons, for the fast path."""
    kept: Array = rows
    for rule in IN_ORDER:
        mask = rule.keep(fleet, ask, kept)
        if mask is not None:
            kept = kept[mask]
    return kept


def explained(fleet: Fleet, ask: Footprint) -> tuple[Array, tuple[str, ...]]:
    """The rows that every filter keeps of the whole fleet, and a sentence from each filter that dropped some."""
    kept, reasons = fleet.all_rows, []
    for rule in IN_ORDER:
        mask = rule.keep(fleet, ask, kept)
        if mask is None or mask.all():
            continue
        reasons.append(rule.reason(fleet, ask, kept[~mask]))
        kept = kept[mask]
    return kept, tuple(reasons)
