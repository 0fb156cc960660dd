"""The pool's books, and the few moves that change them. Every move records what it touched and says what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from include.pool import preferences, quota
from include.pool.fair import HOUR, Account, Accounts, delays
from include.pool.space import Space, quota_milli
from include.pool.spending import set_back
from include.pool.state import Burst, Config, Event, Grant, Lease, LeaseState, Node, Notice, Quota, Request, RequestState
from include.pool.staying import expected

RECENT = 2_000
"""Ended leases remembered, to tell a late holder why."""


@dataclass
class Changes:
    """What has been touched since the last time somebody took them: objects as they are now, names of what is gone, events in order."""

    nodes: dict[str, Node] = field(default_factory=dict)
    gone_nodes: set[str] = field(default_factory=set)
    requests: dict[str, Request] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    gone_quotas: set[str] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    gone_accounts: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    def __bool__(self) -> bool:
        kept = (self.nodes, self.gone_nodes, self.requests, self.leases, self.quotas, self.gone_quotas)
        return any((*kept, self.accounts, self.gone_accounts, self.events))


class Ledger:
    """Live nodes, requests, leases and quotas; what devices and teams have left follows from them."""

    def __init__(
        self, config: Config, ids: Callable[[], str], next_token: int, why_not: Callable[[Request], str] = lambda request: ""
    ) -> None:
        self.config, self.ids, self.next_token, self.why_not = config, ids, next_token, why_not
        self.nodes: dict[str, Node] = {}
        self.removed: dict[str, Node] = {}
        """Nodes by the hour that an administrator has removed, for as long as what they cost counts against the budget."""
        self.requests: dict[str, Request] = {}
        self.by_key: dict[str, str] = {}
        self.leases: dict[str, Lease] = {}
        self.quotas: dict[str, Quota] = {}
        self.recent: dict[str, Lease] = {}
        self.clearing: dict[str, set[str]] = {}
        """Request → leases that have been told to stop for it and still live."""
        self.owed: set[str] = set()
        """Requests for which leases have ended since the last scheduling pass: what was freed is theirs before anybody else's."""
        self.unawaited: set[str] = set()
        """Leases without end, as far as anybody knows: nothing is kept free beside them."""
        self.burst_due = math.inf
        """When the last pass would next take a node by the hour, if nothing happened till then."""
        self.space = Space(config.policy)
        self.space.rebuild(self.nodes, ())
        self.use = quota.Use()
        self.accounts = Accounts(config.fair_half_life_hours * HOUR, lambda team: self.use.all[team])
        self.changes = Changes()
        self.dirty = True
        """Whether a scheduling pass could come to something new."""

    def restore(
        self,
        nodes: Iterable[Node],
        requests: Iterable[Request],
        leases: Iterable[Lease],
        quotas: Iterable[Quota],
        accounts: Iterable[Account] = (),
    ) -> None:
        """Take over what was kept, in place of everything here."""
        kept = {node.name: node for node in nodes}
        self.removed = {name: node for name, node in kept.items() if node.burst is not None and node.burst.removed}
        self.nodes = {name: node for name, node in kept.items() if name not in self.removed}
        self.requests = {request.id: request for request in requests}
        self.by_key = {request.key: request.id for request in self.requests.values()}
        self.leases = {lease.id: lease for lease in leases}
        self.quotas = {one.team: one for one in quotas}
        self.use = quota.Use()
        self.clearing, self.owed, self.unawaited = {}, set(), set()
        for lease in self.leases.values():
            self._clears(lease)
            self.use.add(self.requests[lease.request_id].ask, quota_milli(lease.grants))
        self.accounts.of = {account.team: account for account in accounts}
        for lease in sorted(self.leases.values(), key=lambda lease: -lease.granted_at):  # of a pool that kept no accounts till now
            team = self.requests[lease.request_id].ask.team
            self.accounts.of.setdefault(team, Account(team, 0.0, lease.granted_at))
        self.space.rebuild(self.nodes, [(lease, expected(lease, self.requests[lease.request_id])) for lease in self.leases.values()])
        self.changes, self.dirty = Changes(), True

    def event(
        self,
        now: float,
        kind: str,
        text: str,
        *,
        node: str = "",
        request: Request | None = None,
        lease: Lease | None = None,
        by: str = "",
        about: str = "",
    ) -> None:
        """Note what happened; ``by``: the person who did it, ``about``: the team that it is about."""
        body = {name: value for name, value in (("by", by), ("about", about)) if value}
        request_id = request.id if request else lease.request_id if lease else ""
        self.changes.events.append(Event(now, kind, text, node or _node(lease), request_id, lease.id if lease else "", body))

    def bursts(self) -> list[Burst]:
        """What is known of all nodes by the hour, those that were removed too: what they cost."""
        return [node.burst for node in (*self.nodes.values(), *self.removed.values()) if node.burst is not None]

    def touched(self, thing: Node | Request | Lease) -> None:
        if isinstance(thing, Node):
            self.changes.nodes[thing.name] = thing
        elif isinstance(thing, Request):
            self.changes.requests[thing.id] = thing
        else:
            self.changes.leases[thing.id] = thing

    # Moves

    def queue(self, now: float, request: Request) -> None:
        self.requests[request.id] = request
        self.by_key[request.key] = request.id
        self.space.learn(request.ask)
        self.dirty = True
        self.touched(request)
        self.event(now, "submitted", f"{request.key} asks for {request.ask.size()}, priority {request.ask.priority}.", request=request)

    def token(self) -> int:
        self.next_token += 1
        return self.next_token - 1

    def grace_s(self, request: Request) -> float:
        """How long it may take to stop: what it asked for, within what the administrator allows."""
        asked = self.config.notice_s if request.ask.grace_s is None else request.ask.grace_s
        return min(asked, self.config.longest_grace_s)

    def grant(self, now: float, request: Request, grants: tuple[Grant, ...], lent_by: str = "", ends_by: float | None = None) -> Lease:
        lease = Lease(
            id=self.ids(),
            request_id=request.id,
            token=self.token(),
            state=LeaseState.ACTIVE,
            grants=grants,
            granted_at=now,
            expires_at=now + (request.ask.ttl_s or self.config.lease_ttl_s),
            seen_at=now,
            ends_by=ends_by,
            lent_by=lent_by,
        )
        self.leases[lease.id] = lease
        request.state, request.lease_id, request.reasons, request.starts_at = RequestState.GRANTED, lease.id, (), None
        request.note = preferences.unmet(self.space, request.ask, grants)
        self.space.staying.expect(now, lease, expected(lease, request))
        self.space.book(lease)
        self._holds(now, request, quota_milli(grants))
        self._withdraw_notices(now, request, "has found another place")
        self.touched(request)
        self.touched(lease)
        self.event(now, "granted", f"{request.key} has {places(grants)}. {request.note}".rstrip(), request=request, lease=lease)
        return lease

    def _holds(self, now: float, request: Request, more_milli: int) -> None:
        """Its team has so much more from now on."""
        account = self.accounts.settle(request.ask.team, now)
        self.use.add(request.ask, more_milli)
        if account is not None:
            self.changes.accounts[account.team] = account
            self.changes.gone_accounts.discard(account.team)
            for team in self.accounts.close(now):
                self.changes.accounts.pop(team, None)
                self.changes.gone_accounts.add(team)

    def shares(self, now: float, teams: Iterable[str]) -> dict[str, tuple[float, float]]:
        """What fairness inside a level of the line compares: GPU-hours of late, then GPUs held now, both over the team's weight."""
        found = {}
        for team in teams:
            weight = quota.weight(self.quotas, team)
            found[team] = round(self.accounts.gpu_s(team, now) / HOUR / weight, 2), self.use.all[team] / 1000 / weight
        return found

    def delays(self, now: float, teams: Iterable[str]) -> dict[str, float]:
        """How much later the waiting of each of these counts, who wait; seconds."""
        used = {team: self.accounts.gpu_s(team, now) for team in teams}
        if not self.accounts.tau_s or len(used) < 2:
            return dict.fromkeys(used, 0.0)
        weights = {team: quota.weight(self.quotas, team) for team in used}
        return delays(used, weights, self.space.capacity_milli() / 1000, self.config.fair_delay_s)

    def absent(self, heard: float, now: float) -> None:
        """Nobody could be heard from then until now."""
        self.changes.accounts |= {account.team: account for account in self.accounts.absent(heard, now)}

    def notice(self, now: float, lease: Lease, kind: str, reason: str, for_request: str = "", grace_s: float | None = None) -> None:
        """Tell the holder to stop; it has its grace, or what is left by somebody else's word (``grace_s``)."""
        request = self.requests[lease.request_id]
        grace = self.grace_s(request) if grace_s is None else grace_s
        lease.notice, lease.state = Notice(kind, reason, now, now + grace, for_request), LeaseState.NOTICED
        self._clears(lease)
        self.space.aged(lease)
        self.space.staying.expect(now, lease, expected(lease, request))
        self.touched(lease)
        self.event(now, "noticed", f"{request.key} must stop within {grace:g} s: {reason}", lease=lease)

    def spare(self, now: float, lease: Lease, until: float) -> None:
        """Nobody could hear its holder, who could hear of no notice: it lives until then at least, and a grace begins now."""
        if lease.notice is not None:
            deadline = now + self.grace_s(self.requests[lease.request_id])
            lease.notice = replace(lease.notice, deadline=max(deadline, lease.notice.deadline))
            self.space.aged(lease)
        lease.expires_at = max(lease.expires_at, until)
        self.touched(lease)

    def set_back(self, now: float, seconds: float) -> None:
        """The clock was, by so much: who was heard in what is now the future was heard so much earlier, and has waited or run no less."""
        self.changes.accounts |= {account.team: account for account in self.accounts.set_back(now, seconds)}
        for node in (*self.nodes.values(), *self.removed.values()):
            node.reported_at -= seconds if node.reported_at > now else 0.0
            if node.burst is not None and node.burst.paid_since is not None and node.burst.paid_since > now:
                node.burst = set_back(node.burst, seconds)
                self.touched(node)
        for request in self.requests.values():
            if request.seen_at > now:
                request.seen_at -= seconds
                request.waiting_since -= seconds
                self.touched(request)
        for lease in self.leases.values():
            if lease.seen_at > now:
                lease.granted_at, lease.seen_at, lease.expires_at = (
                    at - seconds for at in (lease.granted_at, lease.seen_at, lease.expires_at)
                )
                self.space.aged(lease)
                self.touched(lease)
            if lease.saved_at is not None and lease.saved_at > now:
                lease.saved_at -= seconds
            if lease.notice is not None and lease.notice.at > now:
                lease.notice = replace(lease.notice, at=lease.notice.at - seconds, deadline=lease.notice.deadline - seconds)
        self.dirty = True

    def lend(self, lease: Lease, lent_by: str, ends_by: float | None) -> None:
        """It runs on devices that are reserved for this request until then; or, with "", on its own."""
        moved = (ends_by is None) != (lease.ends_by is None) or abs((ends_by or 0.0) - (lease.ends_by or 0.0)) > 1
        if lease.lent_by != lent_by or moved:
            lease.lent_by, lease.ends_by = lent_by, ends_by
            self.touched(lease)

    def _clears(self, lease: Lease) -> None:
        if lease.notice is not None and lease.notice.request_id:
            self.clearing.setdefault(lease.notice.request_id, set()).add(lease.id)

    def _cleared(self, lease: Lease) -> None:
        """It ended; what it was told to make room for has the first claim in the next pass."""
        wanted = lease.notice.request_id if lease.notice is not None else ""
        told = self.clearing.get(wanted, set())
        if lease.id in told:
            told.discard(lease.id)
            self.owed.add(wanted)
            if not told:
                del self.clearing[wanted]

    def end_lease(self, now: float, lease: Lease, end: str, why: str, *, requeue: bool) -> None:
        """Its devices are free. Its request goes back to where it stood, or ends with it."""
        request = self.requests[lease.request_id]
        lease.state, lease.end, lease.ended_at = LeaseState.ENDED, end, now
        del self.leases[lease.id]
        self.unawaited.discard(lease.id)
        self._cleared(lease)
        self.recent[lease.id] = lease
        while len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        self.space.staying.over(now, lease, requeued=requeue)
        self.space.unbook(lease)
        self._holds(now, request, -quota_milli(lease.grants))
        self.dirty = True
        self.touched(lease)
        self.event(now, "ended", f"{request.key} no longer has {places(lease.grants)}: {why}", lease=lease)
        request.lease_id = ""
        if requeue:
            request.state, request.seen_at, request.note = RequestState.WAITING, now, why
            request.waiting_since += max(0.0, now - lease.granted_at)
            request.preemptions += 1
            self.touched(request)
        else:
            self.end_request(now, request, end)

    def end_request(self, now: float, request: Request, end: str) -> None:
        if request.state is RequestState.WAITING:
            self._withdraw_notices(now, request, "is gone")
        request.state, request.end, request.ended_at, request.starts_at = RequestState.ENDED, end, now, None
        self.requests.pop(request.id, None)
        if self.by_key.get(request.key) == request.id:
            del self.by_key[request.key]
        self.dirty = True
        self.touched(request)

    def _withdraw_notices(self, now: float, request: Request, why: str) -> None:
        """Nobody stops for one who no longer needs it."""
        for lease in [self.leases[told] for told in sorted(self.clearing.pop(request.id, ()))]:
            lease.notice, lease.state = None, LeaseState.ACTIVE
            self.space.aged(lease)
            self.space.staying.expect(now, lease, expected(lease, self.requests[lease.request_id]))
            self.touched(lease)
            self.event(now, "withdrawn", f"{self.requests[lease.request_id].key} may go on: {request.key} {why}.", lease=lease)

    def waits(self, request: Request, reasons: tuple[str, ...], starts_at: float | None = None) -> None:
        """Why it waits, if that has changed; the estimate only when it has moved notably, or every look would be a change."""
        moved = (starts_at is None) != (request.starts_at is None) or abs((starts_at or 0) - (request.starts_at or 0)) > 1
        if request.reasons != reasons or moved:
            request.reasons, request.starts_at = reasons, starts_at
            self.touched(request)


def places(grants: Iterable[Grant]) -> str:
    """`GPU 0, 1 of gpu-a` for people."""
    said = []
    for grant in grants:
        part = f"{grant.milli / 10:g} % of " if grant.milli < 1000 else ""
        said.append(f"{part}GPU {', '.join(map(str, grant.indexes))} of {grant.node}")
    return " and ".join(said)


def _node(lease: Lease | None) -> str:
    return lease.grants[0].node if lease and lease.grants else ""
