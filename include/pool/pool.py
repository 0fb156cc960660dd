"""The GPU pool as a state machine: every operation takes the time, changes the books in one go or not at all, and says what it touched.

Nothing is scheduled by an operation itself: :meth:`Pool.tick` ends what has fallen silent and gives out what is free. Call it after
each batch of operations, and when :meth:`Pool.next_due` has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import uuid4

from include.errors import InputError
from include.pool import burst, homewards, spending
from include.pool.ask import Ask
from include.pool.awaited import expected_end
from include.pool.due import waiting_ttl_s
from include.pool.errors import Conflict, Gone, Missing
from include.pool.fair import HOUR, Account
from include.pool.ledger import Changes, Ledger
from include.pool.possible import check, smallest_milli
from include.pool.ready import Ready
from include.pool.reports import Reports
from include.pool.schedule import Pass
from include.pool.state import MOVED, OVERUSED, Config, Lease, LeaseState, Node, NodeReport, Quota, Request, RequestState
from include.pool.watch import Watch
from include.pool.what_if import WhatIf, what_if


class Pool:
    """Not safe for threads: one owner at a time."""

    def __init__(
        self,
        config: Config | None = None,
        ids: Callable[[], str] = lambda: uuid4().hex,
        next_token: int = 1,
        why_not: Callable[[Request], str] = lambda request: "",
    ) -> None:
        """``why_not`` says why a request may not begin, "" if it may, for what the pool itself knows nothing of: budgets."""
        self._ledger = Ledger(config or Config(), ids, next_token, why_not)
        self._ready = Ready(self._ledger.space, self.expected_end)
        self._watch = Watch(self._ledger)
        self._reports = Reports(self._ledger)

    # What is there

    @property
    def config(self) -> Config:
        return self._ledger.config

    @property
    def nodes(self) -> Mapping[str, Node]:
        return self._ledger.nodes

    @property
    def requests(self) -> Mapping[str, Request]:
        """Live ones: waiting and granted."""
        return self._ledger.requests

    @property
    def leases(self) -> Mapping[str, Lease]:
        """Live ones: active and noticed."""
        return self._ledger.leases

    @property
    def quotas(self) -> Mapping[str, Quota]:
        return self._ledger.quotas

    @property
    def next_token(self) -> int:
        return self._ledger.next_token

    def team_use(self) -> dict[str, float]:
        """GPUs that each team holds now."""
        return {team: milli / 1000 for team, milli in self._ledger.use.all.items() if milli}

    def team_past(self, now: float) -> dict[str, float]:
        """GPU-hours that each team has used, as they count now: by half after the setting's half-life."""
        accounts = self._ledger.accounts
        return {team: accounts.gpu_s(team, now) / HOUR for team in accounts.of}

    def free_milli(self, node: str, uuid: str) -> int:
        """Thousandths of a device still to be had."""
        return self._ledger.space.free((node, uuid))

    def leased_milli(self, node: str, uuid: str) -> dict[str, int]:
        """Lease id → thousandths of a device."""
        return dict(self._ledger.space.leased.get((node, uuid), {}))

    def foreign_mib(self, node: str, uuid: str) -> int:
        """Memory of a device that no lease accounts for."""
        device = next(device for device in self.nodes[node].devices if device.uuid == uuid)
        return self._ledger.space.foreign_mib(node, device)

    def overused_mib(self, node: str, uuid: str) -> dict[str, int]:
        """Memory that holders of shares of a device use beyond their grants, MiB by lease id."""
        device = next(device for device in self.nodes[node].devices if device.uuid == uuid)
        return self._ledger.space.overused_mib(node, device)

    def line(self, now: float) -> list[Request]:
        """Who waits, first in line first."""
        return Pass(self._ledger, self._ready).line(now)

    def expected_end(self, lease_id: str) -> float:
        """When a live lease should have ended; infinite if it has no end."""
        return expected_end(self._ledger, self._ledger.leases[lease_id])

    # Keeping and restoring

    def take_changes(self) -> Changes:
        """What was touched since the last call; the caller keeps it."""
        changes, self._ledger.changes = self._ledger.changes, Changes()
        return changes

    def restore(
        self,
        nodes: Iterable[Node],
        requests: Iterable[Request],
        leases: Iterable[Lease],
        quotas: Iterable[Quota],
        next_token: int = 0,
        accounts: Iterable[Account] = (),
    ) -> None:
        """Everything as it was kept, in place of what is here. Tokens go on from ``next_token``, never back."""
        self._ledger.restore(nodes, requests, leases, quotas, accounts)
        self._ledger.next_token = max(self._ledger.next_token, next_token)
        self._ready = Ready(self._ledger.space, self.expected_end)
        self._watch.reset()

    def recall(self, ended: Iterable[tuple[Lease, Request | None]]) -> None:
        """Leases that ended before this pool was there: placement learns from them how long work stays."""
        for lease, request in ended:
            if request is not None:
                self._ledger.space.staying.recall(lease, request)

    # Requests

    def submit(self, now: float, key: str, holder: str, ask: Ask) -> Request:
        """Queue a wish, or find the one of this key. Asked again by its holder while granted, the lease gets a new fencing token: whoever
        asked before is fenced off. Another ask under the same key replaces the one that is there.

        Raises Impossible for what could never be placed, Conflict for another holder's key.
        """
        self._watch.heard(now)
        known = self._ledger.requests.get(self._ledger.by_key.get(key, ""))
        if known is not None and known.holder != holder:
            raise Conflict(f"{key} is a request of {known.holder}.", where="request.key", remedy="Choose a key of your own.")
        if known is not None and known.ask == ask:
            return self._again(now, known)
        check(ask, self._ledger.space, self._ledger.quotas, smallest_milli(ask, self._ledger.space))
        if known is not None:
            self._end(now, known, "replaced", "it was asked for anew, differently.")
        request = Request(self._ledger.ids(), key, holder, ask, RequestState.WAITING, submitted_at=now, seen_at=now, waiting_since=now)
        self._ledger.queue(now, request)
        self._watch.sooner(now + waiting_ttl_s(self.config, request))
        return request

    def _again(self, now: float, request: Request) -> Request:
        request.seen_at = now
        self._ledger.touched(request)
        if request.lease_id:
            lease = self._ledger.leases[request.lease_id]
            lease.token = self._ledger.token()
            self._alive(now, lease, request)
        return request

    def touch(self, now: float, request_id: str) -> Request:
        """The asker is still there. Raises Missing."""
        self._watch.heard(now)
        request = self._request(request_id)
        request.seen_at = max(now, request.seen_at)
        self._ledger.touched(request)  # another API server must know, or it would let the request expire
        return request

    def cancel(self, now: float, request_id: str, by: str) -> Request:
        """No longer wanted; its lease, if any, ends with it."""
        request = self._request(request_id)
        self._end(now, request, "cancelled", f"cancelled by {by}.")
        return request

    def _end(self, now: float, request: Request, end: str, why: str) -> None:
        if request.lease_id:
            self._ledger.end_lease(now, self._ledger.leases[request.lease_id], end, why, requeue=False)
        else:
            self._ledger.end_request(now, request, end)
            self._ledger.event(now, "ended", f"{request.key} waits no longer: {why}", request=request)

    # Leases

    def renew(self, now: float, lease_id: str, token: int, saved_s_ago: float | None = None) -> Lease:
        """The holder's heartbeat; ``saved_s_ago`` tells of a checkpoint. Raises Conflict for an old token, Gone for a lease that has
        ended, Missing."""
        self._watch.heard(now)
        lease = self._lease(lease_id, token)
        if saved_s_ago is not None:
            lease.saved_at = max(lease.saved_at or lease.granted_at, min(now, now - saved_s_ago))
            self._ledger.dirty = self._ledger.dirty or homewards.could(self._ledger, lease)
        self._alive(now, lease, self._ledger.requests[lease.request_id])
        return lease

    def _alive(self, now: float, lease: Lease, request: Request) -> None:
        lease.seen_at = max(now, lease.seen_at)
        lease.expires_at = max(lease.expires_at, now + (request.ask.ttl_s or self.config.lease_ttl_s))
        self._ledger.touched(lease)

    def release(self, now: float, lease_id: str, token: int, requeue: bool = False) -> Lease:
        """The holder is done; or, with ``requeue``, has stopped and waits for its next turn where it stood. The same again is fine."""
        ended = self._ledger.recent.get(lease_id)
        if ended is not None and ended.token == token and ended.end in ("released", *NOTICES):
            return ended
        lease = self._lease(lease_id, token)
        end = lease.notice.kind if lease.notice and requeue else "released"
        why = lease.notice.reason if lease.notice and requeue else "released by its holder."
        requeue = requeue and end != OVERUSED
        self._ledger.end_lease(now, lease, end, why, requeue=requeue)
        self._watch.sooner(now + waiting_ttl_s(self.config, self._ledger.requests[lease.request_id])) if requeue else None
        return lease

    def force_release(self, now: float, lease_id: str, by: str, reason: str) -> Lease:
        """An admin ends it, and the request with it."""
        lease = self._lease(lease_id)
        key = self._ledger.requests[lease.request_id].key
        self._ledger.end_lease(now, lease, "forced", f"ended by {by}: {reason}", requeue=False)
        self._ledger.event(now, "forced", f"{key} was ended by {by}: {reason}", lease=lease, by=by, about=key)
        return lease

    def _lease(self, lease_id: str, token: int | None = None) -> Lease:
        lease = self._ledger.leases.get(lease_id) or self._ledger.recent.get(lease_id)
        if lease is None:
            raise Missing("there is no such lease.", where=f"lease {lease_id:.40}")
        if lease.state is LeaseState.ENDED:
            raise Gone(f"has ended ({lease.end}).", where=f"lease {lease_id}", remedy="Ask again.")
        if token is not None and token != lease.token:
            raise Conflict("somebody asked again under the same key and holds it now.", where=f"lease {lease_id}", remedy="Stop the work.")
        return lease

    def _request(self, request_id: str) -> Request:
        request = self._ledger.requests.get(request_id)
        if request is None:
            raise Missing("there is no such live request.", where=f"request {request_id:.40}")
        return request

    # Inventory

    def report(self, now: float, reporter: str, source: str, sequence: int, clock: float, nodes: Sequence[NodeReport]) -> None:
        """All that one reporter sees. Raises Conflict for a report that comes late, or with another reporter's node."""
        self._watch.heard(now)
        self._reports.take(now, reporter, source, sequence, clock, nodes)
        self._watch.sooner(now + self.config.node_silent_s)

    def cordon(self, now: float, node: str, reason: str, by: str) -> Node:
        """Nothing new is placed there; what runs goes on."""
        found = self._node(node)
        found.cordoned = reason or f"cordoned by {by}"
        self._in_service(now, found, "cordoned", f"{node} was cordoned by {by}: {found.cordoned}", by)
        return found

    def uncordon(self, now: float, node: str, by: str) -> Node:
        found = self._node(node)
        found.cordoned = ""
        self._in_service(now, found, "uncordoned", f"{node} is in service again, by {by}.", by)
        return found

    def _in_service(self, now: float, node: Node, kind: str, text: str, by: str) -> None:
        self._ledger.space.node_changed(node.name)
        self._ledger.dirty = True
        self._ledger.touched(node)
        self._ledger.event(now, kind, text, node=node.name, by=by)

    def look_again(self) -> None:
        """What ``why_not`` says has changed: the next pass looks at everybody who waits."""
        self._ledger.dirty = True

    def burst_spent(self, now: float) -> float:
        """What nodes by the hour have cost in the last 24 hours, those that were removed too."""
        return spending.spent(self._ledger.bursts(), now)

    def remove_node(self, now: float, node: str, by: str) -> None:
        """Forget it; its leases are lost. It comes back with its next report. What it cost goes on counting against the budget."""
        found = self._node(node)
        self._reports.lose_leases(now, found, f"{node} was removed by {by}.")
        del self._ledger.nodes[node]
        self._ledger.space.node_changed(node)
        self._ledger.changes.nodes.pop(node, None)
        if not burst.removed(self._ledger, now, found):
            self._ledger.changes.gone_nodes.add(node)
        self._ledger.event(now, "removed", f"{node} was removed by {by}.", node=node, by=by)

    def _node(self, name: str) -> Node:
        node = self._ledger.nodes.get(name)
        if node is None:
            raise Missing("there is no such node.", where=f"node {name:.80}")
        return node

    # Quotas

    def set_quota(self, now: float, quota: Quota, by: str) -> None:
        """Raises InputError when it contradicts itself."""
        where = f"quota of {quota.team}"
        if quota.guaranteed < 0 or (quota.limit is not None and quota.limit < quota.guaranteed):
            raise InputError("the guarantee must be 0 or more, and not over the limit.", where=where, remedy="Raise the limit or lower it.")
        if not quota.weight > 0:
            raise InputError(f"weight is {quota.weight:g}.", where=where, remedy="Give more than 0; 1 is usual.")
        self._ledger.quotas[quota.team] = self._ledger.changes.quotas[quota.team] = quota
        self._ledger.changes.gone_quotas.discard(quota.team)
        self._ledger.dirty = True
        limit = "no limit" if quota.limit is None else f"at most {quota.limit:g}"
        self._ledger.event(
            now,
            "quota",
            f"Team {quota.team}: {quota.guaranteed:g} GPUs guaranteed, {limit}, weight {quota.weight:g}, by {by}.",
            by=by,
            about=quota.team,
        )

    def delete_quota(self, now: float, team: str, by: str) -> None:
        if self._ledger.quotas.pop(team, None) is None:
            raise Missing("has no quota.", where=f"team {team:.80}")
        self._ledger.changes.quotas.pop(team, None)
        self._ledger.changes.gone_quotas.add(team)
        self._ledger.dirty = True
        self._ledger.event(now, "quota", f"Team {team} has no quota any more, by {by}.", by=by, about=team)

    # Time

    def tick(self, now: float) -> None:
        """End what is silent or overdue, then one scheduling pass. On an unchanged pool with nothing due it costs nothing."""
        self._watch.awake(now)
        if self._watch.due(now):
            self._watch.look(now)
        if self._ledger.dirty:
            look = Pass(self._ledger, self._ready)
            look.run(now)
            self._watch.passed(now, look.turns, look.stuck)

    def listening(self, now: float) -> None:
        """Whoever owns the pool is there and hears whoever speaks. An owner that says so says it every second or so: the time in which it
        did not is an absence of the pool's own, in which nobody could be heard, and nobody is taken for silent."""
        self._watch.listening(now)

    def next_due(self) -> float | None:
        """The next time at which :meth:`tick` may have something to do by itself; may be early, never late."""
        return self._watch.next

    def what_if(self, now: float, ask: Ask, holder: str = "") -> WhatIf:
        """Could it run now, where, and who would have to stop? Changes nothing."""
        return what_if(self._ledger, self._ready, now, ask, holder)


NOTICES = ("preempted", "reclaimed", "overdue", OVERUSED, "spot", "budget", MOVED, "lost")
