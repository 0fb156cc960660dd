"""A revision that a person has stopped and may start again: ``halted.json`` in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from include import atomic

FILE = "halted.json"


def save(folder: Path, at_s: float) -> None:
    """It is stopped since then (seconds since the epoch)."""
    atomic.write(folder / FILE, json.dumps({"at_s": at_s}))


def is_halted(folder: Path) -> bool:
    """Whether a person has stopped the revision of this folder."""
    return (folder / FILE).exists()


def end(folder: Path) -> None:
    """It may run again."""
    (folder / FILE).unlink(missing_ok=True)
