"""Who reconciles: one at a time over all machines, by a row that its owner keeps moving. Pure.

No clock is compared with another's: whoever wants to own it watches the row's beat by its own clock, and takes it once that has stood
still (as Kubernetes' leader election does, client-go's `leaderelection`). A taken row has another beat, so that two takers can't both
have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

STILL_S = 15.0
"""An owner whose beat stands still for so long has died (seconds)."""


@dataclass(frozen=True)
class Beat:
    """The row: its ``holder``, and a number that each round of the holder adds one to."""

    holder: str
    beat: int


class Claim(StrEnum):
    """What a contender does next."""

    RENEW = "renew"
    TAKE = "take"
    WATCH = "watch"


@dataclass(frozen=True)
class Watched:
    """What one contender knows: the row as it saw it last, and since when (its own clock, seconds) it has not moved; ``mine``: the beat
    that it wrote itself last, None while it owns nothing."""

    seen: Beat | None = None
    since_s: float = 0.0
    mine: int | None = None


def claim(me: str, row: Beat | None, known: Watched, now_s: float) -> tuple[Claim, Watched]:
    """Return what to try, and what is known from now on. ``me`` is ``place/nonce``: the nonce is new with each process.

    A process takes the row at once from an earlier one of its own place, which the place's supervisor has ended before: but only at its
    first look, so that two of one place can't take turns.
    """
    first = known.seen is None
    if row is None:
        return Claim.TAKE, known
    if row.holder == me and known.mine == row.beat:
        return Claim.RENEW, replace(known, seen=row, since_s=now_s)
    lost = replace(known, mine=None)
    if row != known.seen:
        moved = replace(lost, seen=row, since_s=now_s)
        return (Claim.TAKE if first and _place(row.holder) == _place(me) else Claim.WATCH), moved
    return (Claim.TAKE if now_s - known.since_s >= STILL_S else Claim.WATCH), lost


def _place(holder: str) -> str:
    return holder.rpartition("/")[0]
