"""When something will come about by time alone: one function says it, and nobody has to poll."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from include.pool import burst, may_stop
from include.pool.awaited import awaited_until
from include.pool.ledger import Ledger
from include.pool.schedule import Turn
from include.pool.state import Config, Lease, Request, RequestState

LOOKS = 60
"""Ageing changes the order of the queue: it is looked at anew at most so often while a request rises by one level."""


def silence_ends(ledger: Ledger) -> Iterator[float]:
    """When each of those that may fall silent is to be heard of at the latest."""
    config = ledger.config
    lost = {node.name: node for node in ledger.nodes.values() if node.lost}
    for node in ledger.nodes.values():
        if not node.lost:
            yield node.reported_at + config.node_silent_s
    for lease in ledger.leases.values():
        yield lease.expires_at
        if lost:
            yield from (lost[grant.node].reported_at + config.node_grace_s for grant in lease.grants if grant.node in lost)
    for request in ledger.requests.values():
        if request.state is RequestState.WAITING:
            yield request.seen_at + waiting_ttl_s(config, request)


def next_due(
    ledger: Ledger, now: float, patient_until: float, turns: Sequence[Turn], stuck: Sequence[Request]
) -> tuple[float | None, float]:
    """When anything is due (None: never), and when another scheduling pass is. Until ``patient_until`` nobody is taken for silent."""
    turning = next_turning(ledger, now, turns, stuck)
    silence = max(min(silence_ends(ledger), default=math.inf), patient_until)
    deadlines = min((lease.notice.deadline for lease in ledger.leases.values() if lease.notice is not None), default=math.inf)
    due = min(silence, deadlines, turning, burst.next_due(ledger, now))
    return (None if math.isinf(due) else due), turning


def next_turning(ledger: Ledger, now: float, turns: Sequence[Turn], stuck: Sequence[Request]) -> float:
    """The next time after ``now`` at which another pass may come to something else than the last, whose ``turns`` and ``stuck`` these are,
    though nobody has done anything; infinite if there is none."""
    times = [at for turn in turns for at in _turn(ledger, now, turn)]
    times += [at for request in (*(turn.request for turn in turns), *stuck) if (at := may_stop.rises(ledger, now, request)) is not None]
    times.append(ledger.burst_due)
    return min((*(at for at in times if at > now), _next_level(ledger, now)), default=math.inf)


def _turn(ledger: Ledger, now: float, turn: Turn) -> Iterator[float]:
    """The awaited end; when those whom the place is lent have to be told; when nobody awaits a lease any more."""
    yield turn.reservation.at
    for spot in turn.reservation.spots:
        for lease in map(ledger.leases.__getitem__, ledger.space.leased.get(spot, ())):
            if lease.lent_by == turn.request.id and lease.notice is None:
                yield turn.reservation.at - ledger.grace_s(_asker(ledger, lease))
            else:
                yield awaited_until(ledger, lease)


def _next_level(ledger: Ledger, now: float) -> float:
    """When some request rises by a level; it matters only among several."""
    some = [one for one in ledger.requests.values() if one.state is RequestState.WAITING]
    if len(some) < 2:
        return math.inf
    delay_s = ledger.delays(now, {one.ask.team for one in some})
    waiting = [one.waiting_since + delay_s[one.ask.team] for one in some]
    step = ledger.config.ageing_s
    return max(now + step / LOOKS, min(at + (math.floor(max(0.0, now - at) / step) + 1) * step for at in waiting))


def waiting_ttl_s(config: Config, request: Request) -> float:
    """How long nobody may have asked after a request that waits."""
    return max(request.ask.ttl_s or 0.0, config.waiting_ttl_s)


def _asker(ledger: Ledger, lease: Lease) -> Request:
    return ledger.requests[lease.request_id]
