"""Counts in words, for reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.placement.fleet import Array


def counted(rows: Array) -> str:
    """``1 node`` or ``7 nodes``."""
    return f"{len(rows)} node" + ("" if len(rows) == 1 else "s")
