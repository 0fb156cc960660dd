"""Work moves back from nodes that cost by the hour once a place is free for it on one that doesn't.

Only who has just saved its work is told to stop, one at a time, and only while nobody waits: what is lost is what it takes to begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from include.pool.awaited import expected_end
from include.pool.ledger import Ledger
from include.pool.space import Spot
from include.pool.state import MOVED, Lease, LeaseState, Request

LEFT_S = 600.0
"""Who is expected to end sooner stays."""


def could(ledger: Ledger, lease: Lease) -> bool:
    """Return whether the lease is one that costs by the hour, so that a pass should look at it when it has saved its work."""
    costly = ledger.space.costly()
    return bool(costly) and any((grant.node, uuid) in costly for grant in lease.grants for uuid in grant.uuids)


def look(ledger: Ledger, now: float, line: Iterable[Request], kept: frozenset[Spot]) -> None:
    """After a scheduling pass: ``line`` are those who may start, ``kept`` the devices that are kept for somebody."""
    costly = ledger.space.costly()
    if not costly or ledger.config.burst_move_s <= 0 or any(not request.lease_id for request in line):
        return
    if any(lease.notice is not None and lease.notice.kind == MOVED for lease in ledger.leases.values()):
        return
    for lease in sorted(_there(ledger, costly), key=lambda lease: (-_price(ledger, lease), lease.granted_at, lease.id)):
        request = ledger.requests[lease.request_id]
        if _may_move(ledger, now, lease, request) and (grants := ledger.space.find(request.ask, kept | costly)):
            free, paid = (", ".join(sorted({grant.node for grant in some})) for some in (grants, lease.grants))
            ledger.notice(now, lease, MOVED, f"there is room for it on {free}, and {paid} costs by the hour.", request.id)
            return


def _there(ledger: Ledger, costly: frozenset[Spot]) -> Iterator[Lease]:
    held = {lease for spot in costly for lease in ledger.space.leased.get(spot, ())}
    return (ledger.leases[lease] for lease in held if lease in ledger.leases)


def _price(ledger: Ledger, lease: Lease) -> float:
    nodes = (ledger.nodes.get(grant.node) for grant in lease.grants)
    return sum(node.burst.offer.price_per_hour for node in nodes if node is not None and node.burst is not None)


def _may_move(ledger: Ledger, now: float, lease: Lease, request: Request) -> bool:
    saved = lease.saved_at is not None and now - lease.saved_at <= ledger.config.burst_move_s
    firm = lease.state is not LeaseState.ACTIVE or not request.ask.preemptible
    return saved and not firm and expected_end(ledger, lease) - now >= LEFT_S
