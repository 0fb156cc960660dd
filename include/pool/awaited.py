"""When leases are expected to end, and for how long anybody goes on expecting it."""

from __future__ import annotations

import math

from include.pool.ledger import Ledger
from include.pool.state import Lease


def expected_end(ledger: Ledger, lease: Lease) -> float:
    """When a live lease should have ended: its notice's deadline, or what its holder expected (in the past if it has overrun); infinite for
    one without end."""
    if lease.notice is not None:
        return lease.notice.deadline
    if lease.id in ledger.unawaited:
        return math.inf
    ask = ledger.requests[lease.request_id].ask
    if ask.endless:
        return math.inf
    return lease.granted_at + (ledger.config.default_duration_s if ask.duration_s is None else ask.duration_s)


def awaited_until(ledger: Ledger, lease: Lease) -> float:
    """From then on it is taken to have no end: twice what its holder said, or what is assumed of one that said nothing."""
    if lease.notice is not None:
        return math.inf
    ask = ledger.requests[lease.request_id].ask
    if ask.endless:
        return -math.inf
    return lease.granted_at + (ledger.config.default_duration_s if ask.duration_s is None else 2 * ask.duration_s)


def is_certain(ledger: Ledger, lease: Lease, now: float) -> bool:
    """Whether its expected end is somebody's word that may still hold: nobody has to guess."""
    said = lease.notice is not None or ledger.requests[lease.request_id].ask.duration_s is not None
    return said and expected_end(ledger, lease) > now


def give_up(ledger: Ledger, now: float) -> None:
    """Leases that have run for longer than anybody awaits are without end from now on; one that is told to stop, or had its notice
    withdrawn, is looked at anew."""
    for lease in ledger.leases.values():
        given_up = now >= awaited_until(ledger, lease)
        if given_up != (lease.id in ledger.unawaited):
            (ledger.unawaited.add if given_up else ledger.unawaited.discard)(lease.id)
            ledger.space.aged(lease)
