"""When each version of a model was champion, and why it went up or down, out of what has been kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

UP, DOWN, NOTE = "up", "down", "note"


@dataclass(frozen=True)
class Happening:
    """One thing that moved a version: ``way`` is up, down or note; ``decision`` the verdict's; ``why`` its first sentence."""

    version: int
    at: datetime
    way: str
    kind: str
    decision: str
    why: str
    run_key: str


@dataclass(frozen=True)
class Reign:
    """A version was champion from ``since`` to ``until`` (None: still, as far as is known)."""

    version: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class Kept:
    """A kept verdict, without its evidence but for the versions that a return names."""

    kind: str
    decision: str
    version: int | None
    at: datetime
    reason: str
    run_key: str
    champion: int | None = None


CANARY_DOWN = ("ROLLBACK", "ENDED BY HAND")


def happenings(verdicts: Iterable[Kept], promoted: Iterable[tuple[str, datetime]]) -> list[Happening]:
    """Return what moved versions, the oldest first. ``verdicts`` in the order in which they were kept; ``promoted``: runs whose task
    `promote` was done, and when: that, and no verdict, makes a champion."""
    found: list[Happening] = []
    at_of = dict(promoted)
    for one in verdicts:
        if one.kind == "canary" and one.version is not None:
            way = UP if one.run_key in at_of else DOWN if one.decision in CANARY_DOWN or one.decision == "INCONCLUSIVE" else NOTE
            found.append(Happening(one.version, at_of.get(one.run_key, one.at), way, one.kind, one.decision, one.reason, one.run_key))
        elif one.kind == "return" and one.version is not None:
            if one.champion is not None and one.champion != one.version:
                found.append(Happening(one.champion, one.at, DOWN, one.kind, one.decision, one.reason, one.run_key))
            found.append(Happening(one.version, one.at, UP, one.kind, one.decision, one.reason, one.run_key))
        elif one.kind in ("watch", "deploy") and one.version is not None and one.decision in ("FAIL", "ALARM", "ROLLBACK"):
            found.append(Happening(one.version, one.at, NOTE, one.kind, one.decision, one.reason, one.run_key))
    return sorted(found, key=lambda one: one.at)


def reigns(moved: Iterable[Happening], champion: int | None) -> list[Reign]:
    """Return who was champion when, the oldest first. ``champion``: who is now by the registry, None for nobody known: a last reign that it
    contradicts has an end that nobody knows, and is left out of the present."""
    found: list[Reign] = []
    for one in moved:
        if one.way != UP or (found and found[-1].until is None and found[-1].version == one.version):
            continue
        if found and found[-1].until is None:
            found[-1] = Reign(found[-1].version, found[-1].since, one.at)
        found.append(Reign(one.version, one.at, None))
    if found and champion is not None and found[-1].until is None and found[-1].version != champion:
        found.pop()
    return found
