"""A revision that was champion and still runs, without traffic, so that a return to it takes seconds: ``standby.json`` in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from include import atomic

FILE = "standby.json"


def save(folder: Path, until_s: float) -> None:
    """It stands by until then (seconds since the epoch)."""
    atomic.write(folder / FILE, json.dumps({"until_s": until_s}))


def read(folder: Path) -> float | None:
    """Until when the revision stands by; None for one that doesn't."""
    try:
        return float(json.loads((folder / FILE).read_text())["until_s"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def end(folder: Path) -> None:
    """It serves again, or is about to be stopped."""
    (folder / FILE).unlink(missing_ok=True)
