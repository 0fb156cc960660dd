"""Whom a request may have stopped: by importance, by what its team is guaranteed, or because they were let in before its turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from include.pool import quota
from include.pool.frontier import Budgets, Candidate
from include.pool.ledger import Ledger
from include.pool.order import rank
from include.pool.space import Spot, quota_milli
from include.pool.state import Lease, LeaseState, Request
from include.pool.victims import Search

LENT = 0
"""The rank among victims of whoever runs on devices that were lent: below every priority."""
ROUNDING = 1e-9


def search(ledger: Ledger, now: float, head: Request, reclaims: bool, kept: frozenset[Spot] = frozenset()) -> Search:
    """Over all leases on devices that suit. ``reclaims``: it stays within its team's guarantee, so whoever has borrowed gives back."""
    leases = list(_suiting(ledger, head))
    candidates = {lease.id: _candidate(ledger, now, lease, head) for lease in leases if _may_stop(ledger, now, lease, head, reclaims)}
    ending = {lease.id: max(0.0, lease.notice.deadline - now) for lease in leases if lease.notice is not None}
    return Search(ledger.space, candidates, ending, _budgets(ledger, candidates, head.ask.team, reclaims), kept)


def kind(ledger: Ledger, now: float, lease: Lease, head: Request) -> tuple[str, str]:
    """Why the lease is told to stop for it: the notice's kind, and a sentence."""
    if lease.lent_by == head.id:
        return "overdue", f"it was let in before its turn, and {head.key}, whose turn it is, needs the place."
    if outranks(ledger, now, head, lease):
        return "preempted", f"{head.key} has priority {head.ask.priority}."
    return "reclaimed", f"team {head.ask.team} asks for what it is guaranteed."


def outranks(ledger: Ledger, now: float, head: Request, lease: Lease) -> bool:
    """By declared priority, and by rank: whoever is stopped must stand behind the one it makes room for, or it would take it back."""
    asker = ledger.requests[lease.request_id]
    if asker.ask.priority >= head.ask.priority:
        return False
    return outranks_at(ledger, head, lease) <= now


def outranks_at(ledger: Ledger, head: Request, lease: Lease) -> float:
    """From when on the request has waited enough for that (seconds since the epoch)."""
    asker, ageing_s = ledger.requests[lease.request_id], ledger.config.ageing_s
    needed = rank(asker, lease.granted_at, ageing_s) + 1 - head.ask.priority - ROUNDING
    return head.waiting_since + max(0.0, needed) * ageing_s


def rises(ledger: Ledger, now: float, head: Request) -> float | None:
    """The next time at which waiting lifts the request over another lease that it then may stop."""
    times = (
        outranks_at(ledger, head, lease)
        for lease in _suiting(ledger, head)
        if lease.state is LeaseState.ACTIVE
        and (asker := ledger.requests[lease.request_id].ask).preemptible
        and asker.priority < head.ask.priority
    )
    return min((at for at in times if at > now), default=None)


def _suiting(ledger: Ledger, head: Request) -> Iterator[Lease]:
    seen: set[str] = set()
    for request in ledger.space.alternatives(head.ask):
        for part in ledger.space.parts_for(request):
            for device in part.devices:
                seen.update(ledger.space.leased.get((part.node, device.uuid), ()))
    return (ledger.leases[lease] for lease in sorted(seen))


def _may_stop(ledger: Ledger, now: float, lease: Lease, head: Request, reclaims: bool) -> bool:
    if lease.state is not LeaseState.ACTIVE:
        return False
    ask = ledger.requests[lease.request_id].ask
    if not ask.preemptible:
        return False
    if lease.lent_by == head.id or outranks(ledger, now, head, lease):
        return True
    return reclaims and ask.team != head.ask.team and quota.borrowed(ledger.quotas, ledger.use, ask.team) > 0


def _candidate(ledger: Ledger, now: float, lease: Lease, head: Request) -> Candidate:
    asker = ledger.requests[lease.request_id]
    gpus = sum(len(grant.uuids) * grant.milli for grant in lease.grants) / 1000
    lost = round(max(0.0, now - (lease.granted_at if lease.saved_at is None else lease.saved_at)) * gpus, 3)
    lent = lease.lent_by == head.id
    priority, team = (LENT, "") if lent else (asker.ask.priority, asker.ask.team)
    return Candidate(lease.id, priority, lost, quota_milli(lease.grants), team, ledger.grace_s(asker))


def _budgets(ledger: Ledger, candidates: dict[str, Candidate], own: str, reclaims: bool) -> tuple[Budgets, ...]:
    """No other team goes below its guarantee. Where a lease that is guaranteed in part only is all that is in the way of what another team
    is guaranteed, it has to end: it was lent the rest, and can't give back less."""
    if not ledger.quotas:
        return (Budgets(),)
    stopping: Counter[str] = Counter()
    for told in ledger.clearing.values():
        for lease in map(ledger.leases.__getitem__, told):
            stopping[ledger.requests[lease.request_id].ask.team] += quota_milli(lease.grants)
    most: Counter[str] = Counter()
    for one in candidates.values():
        most[one.team] += one.milli
    left = {team: max(0, quota.borrowed(ledger.quotas, ledger.use, team) - stopping[team]) for team in most if team not in ("", own)}
    limits = {team: milli for team, milli in left.items() if most[team] > milli}
    strict = Budgets(limits)
    return (strict, Budgets(limits, straddling=True)) if reclaims and limits else (strict,)
