"""Could this run now, where, and who would have to stop for it? An answer that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from include.pool.ask import Ask
from include.pool.errors import Impossible
from include.pool.ledger import Ledger
from include.pool.possible import check, smallest_milli
from include.pool.ready import Ready, Taken
from include.pool.reasons import behind, no_room
from include.pool.schedule import Pass, Turn
from include.pool.space import quota_milli
from include.pool.state import Grant, Request, RequestState


@dataclass(frozen=True)
class WhatIf:
    """``grants`` where it would start at once; otherwise ``preempts``, the leases that would be told to stop once it is first in line,
    ``starts_at`` the estimate without that, and ``reasons``. ``impossible`` says that it never could, ``nearest`` what could."""

    possible_now: bool
    grants: tuple[Grant, ...] = ()
    preempts: tuple[str, ...] = ()
    starts_at: float | None = None
    reasons: tuple[str, ...] = ()
    impossible: bool = False
    nearest: Ask | None = None


def what_if(ledger: Ledger, ready: Ready, now: float, ask: Ask, holder: str = "") -> WhatIf:
    """As the next pass over the queue would treat it."""
    try:
        check(ask, ledger.space, ledger.quotas, smallest_milli(ask, ledger.space))
    except Impossible as error:
        return WhatIf(False, reasons=(str(error),), impossible=True, nearest=error.nearest)
    look = Pass(ledger, ready)
    asked = Request("~", "what-if", holder, ask, RequestState.WAITING, submitted_at=now, seen_at=now, waiting_since=now)
    ahead = [request for request in look.line_with(now, asked) if not look.held(request)]
    place = ahead.index(asked) if asked in ahead else None
    if place is None:
        return WhatIf(False, reasons=(look.held(asked),))
    booked: dict[tuple[str, str], float] = {}
    for request in ahead[: min(place, look.explained)]:
        if look.is_next(request) and (found := look.place(request)) is not None:
            look.keep(Turn(request, found, True))
        reservation = ready.earliest(request.ask, Taken(booked))
        if reservation is not None:
            until = max(reservation.at, now) + (request.ask.duration_s or ledger.config.default_duration_s)
            booked |= {spot: until for spot in reservation.spots}
    grants = ledger.space.find(ask, look.kept)
    held = look.held(asked, quota_milli(grants)) if grants else ""
    if grants and not held:
        return WhatIf(True, grants)
    plan = look.search(now, asked).cheapest(ask)
    later = ready.earliest(ask, Taken(booked))
    reasons = (held,) if held else (*behind(place), *no_room(ask, ledger.space))
    return WhatIf(False, (), plan.victims if plan else (), later.at if later and later.at > now else None, reasons)
