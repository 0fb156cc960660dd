"""Which backups are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

KEEP, DAYS = 7, 30
"""Of a plan that says nothing else."""
UNFINISHED = timedelta(days=1)
"""What has had no manifest for so long was killed."""


@dataclass(frozen=True)
class Held:
    """One backup in a store. ``whole``: it has a manifest; ``proven``: it has been restored, and its champions answered."""

    name: str
    made_at: datetime
    whole: bool
    proven: bool


def too_many(held: Sequence[Held], keep: int, days: int, now: datetime) -> list[str]:
    """Return the names of those to drop: older than ``days`` and not among the newest ``keep``. The newest that is proven always stays, so
    that no row of bad backups pushes out the last good one; of unfinished ones, those that were killed go."""
    whole = sorted((one for one in held if one.whole), key=lambda one: one.name, reverse=True)
    kept = {one.name for one in whole[:keep]}
    kept |= {one.name for one in whole if now - one.made_at <= timedelta(days=days)}
    kept |= {one.name for one in [found for found in whole if found.proven][:1]}
    broken = [one.name for one in held if not one.whole and now - one.made_at > UNFINISHED]
    return sorted([*broken, *(one.name for one in whole if one.name not in kept)])
