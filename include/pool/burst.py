"""Nodes that are taken by the hour (from a cloud, as spot instances or not): when one is taken, and when it is given back.

One is taken for a request that those which are there can't serve within ``burst_after_s`` of waiting: so early that it is there by then,
the cheapest that suits, and only while the day's budget pays for its boot and the work. It is given back as soon as nobody has used it, or
waited for it, for ``burst_idle_s``; others' places are always taken first. A provider's notice that it takes a spot instance back is a
notice to whoever works there.

The node's agent does what is wanted (``include/inventory/burst_hooks.py``): the answer to its report says which nodes shall be on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from include.pool import spending
from include.pool.ask import Ask
from include.pool.ledger import Ledger
from include.pool.space import Spot
from include.pool.state import Burst, BurstOffer, BurstState, Grant, Lease, LeaseState, Node, Request

LOOKED_AT = 25
"""So many of the queue's first are looked at: a machine takes minutes to boot, and the next look comes sooner."""
PATIENCE_S = 120.0
"""A node that isn't there after three times its boot time and this has failed."""
PAUSE_S = 600.0
"""After a failure the node is left alone for so long."""
LATER_S = 300.0
"""Where the budget doesn't allow a node, it is looked at again after this: what was spent a day ago no longer counts."""
STOPS = ("spot", "budget")
"""The kinds of notice by which a node's work is told to stop."""


def reported(ledger: Ledger, now: float, node: Node, offer: BurstOffer | None) -> Burst | None:
    """Take over what its agent says of the node; None of one that is there for good."""
    if offer is None:
        return None
    new = node.burst is None or node.burst.removed
    before = replace(node.burst or Burst(offer), removed=False)
    burst = replace(before, offer=offer)
    there = offer.state in (BurstState.ON, BurstState.BOOTING)
    if new and there and ledger.config.burst_budget_per_day > 0:  # without a budget it is none of the pool's business
        burst = replace(burst, wanted=True, wanted_at=now)
        ledger.event(now, "burst", f"{node.name} is {offer.state.value} already, at {_price(offer)}.", node=node.name)
    if before.offer.state is not offer.state and offer.state is BurstState.ON and burst.wanted:
        burst = replace(burst, idle_since=None)
        ledger.event(now, "burst", f"{node.name} is on, at {_price(offer)}.", node=node.name)
    if before.offer.state is BurstState.ON and offer.state is not BurstState.ON and burst.wanted:
        burst = replace(burst, wanted=False, closing="")
        why = before.closing.partition(": ")[2] or "its provider or somebody else has ended it"
        ledger.event(now, "burst", f"{node.name} is gone: {why}.", node=node.name)
    if offer.notice_s is not None and offer.state is BurstState.ON and not before.closing.startswith("spot"):
        burst = replace(burst, closing=f"spot: its provider takes {node.name} back in {offer.notice_s:g} s")
        ledger.event(now, "burst", f"The provider of {node.name} takes it back in {offer.notice_s:g} s.", node=node.name)
    return _paid(burst, now)


def _paid(burst: Burst, now: float) -> Burst:
    """With the period that it is paid for begun or ended."""
    runs = burst.wanted or burst.offer.state is not BurstState.OFF
    if runs and burst.paid_since is None:
        return replace(burst, paid_since=now)
    if not runs and burst.paid_since is not None:
        return replace(burst, paid=spending.closed(burst, now), paid_since=None, idle_since=None, closing="")
    return burst


# What time brings about


def look(ledger: Ledger, now: float) -> None:
    """Give back what nobody uses, give up what doesn't come, stop what must end."""
    _forget(ledger, now)
    nodes = [node for node in ledger.nodes.values() if node.burst is not None]
    if not nodes:
        return
    over = spending.spent(ledger.bursts(), now) >= ledger.config.burst_budget_per_day
    for node in nodes:
        burst = node.burst
        if burst is not None and burst.offer.state is BurstState.ON:
            _look_at(ledger, now, node, burst, over)
        elif burst is not None:
            for lease in _leases(ledger, node):
                ledger.end_lease(now, lease, "lost", f"{node.name} is gone.", requeue=True)
            if burst.wanted and over:
                _give_back(ledger, now, node, burst, "the day's budget is spent before it was there")
            elif burst.wanted:
                _wait_for_it(ledger, now, node, burst)


def removed(ledger: Ledger, now: float, node: Node) -> bool:
    """Keep what a node cost that an administrator removes, for as long as it counts against the budget; False: nothing does."""
    if node.burst is None or not spending.spent((node.burst,), now):
        return False
    off = replace(node.burst.offer, state=BurstState.OFF, notice_s=None, failed="")
    burst = Burst(off, paid=spending.closed(node.burst, now), removed=True)
    ledger.removed[node.name] = replace(node, devices=(), cuts=(), lost=True, burst=burst)
    ledger.touched(ledger.removed[node.name])
    return True


def _forget(ledger: Ledger, now: float) -> None:
    """What removed nodes cost a day ago no longer counts."""
    for name, node in list(ledger.removed.items()):
        if node.burst is None or not spending.spent((node.burst,), now):
            del ledger.removed[name]
            ledger.changes.nodes.pop(name, None)
            ledger.changes.gone_nodes.add(name)


def _look_at(ledger: Ledger, now: float, node: Node, burst: Burst, over: bool) -> None:
    """One that is on; ``over``: the budget is spent."""
    leases, config = _leases(ledger, node), ledger.config
    if over and burst.wanted and not burst.closing:
        budget = config.burst_budget_per_day
        burst = _set(ledger, node, replace(burst, closing=f"budget: the day's budget for such nodes ({budget:g}) is spent"))
        ledger.event(now, "burst", f"{node.name} is given back: the day's budget of {budget:g} is spent.", node=node.name)
    if burst.closing:
        _stop(ledger, now, burst, leases)
    if leases or not burst.wanted:
        return
    if burst.closing:
        _give_back(ledger, now, node, burst, burst.closing.partition(": ")[2])
    elif burst.idle_since is not None and now - burst.idle_since >= config.burst_idle_s:
        _give_back(ledger, now, node, burst, f"nobody has used it for {config.burst_idle_s:g} s")


def _wait_for_it(ledger: Ledger, now: float, node: Node, burst: Burst) -> None:
    """It boots; or it doesn't."""
    idle = burst.idle_since is not None and now - burst.idle_since >= ledger.config.burst_idle_s
    late = node.reported_at - burst.wanted_at > 3 * burst.offer.boot_s + PATIENCE_S
    failed = burst.offer.failed if burst.offer.state is BurstState.OFF else ""
    if idle:
        _give_back(ledger, now, node, burst, "nobody waits for it any more")
    elif failed or late:
        burst = _give_back(
            ledger, now, node, burst, failed or f"it is not there {node.reported_at - burst.wanted_at:.0f} s after it was asked for"
        )
        _set(ledger, node, replace(burst, paused_until=now + PAUSE_S))


def _stop(ledger: Ledger, now: float, burst: Burst, leases: Iterable[Lease]) -> None:
    kind, _, why = burst.closing.partition(": ")
    for lease in leases:
        preemptible = ledger.requests[lease.request_id].ask.preemptible
        if kind == "spot" and (lease.notice is None or lease.notice.kind != kind):
            left_s = max(0.0, burst.offer.notice_s or 0.0)
            if lease.notice is not None:  # it stops for somebody already, who goes on waiting for it
                left_s = min(left_s, max(0.0, lease.notice.deadline - now))
            ledger.notice(now, lease, kind, f"{why}.", lease.notice.request_id if lease.notice else "", left_s)
        elif kind == "budget" and preemptible and lease.state is LeaseState.ACTIVE:
            ledger.notice(now, lease, kind, f"{why}.")


def _give_back(ledger: Ledger, now: float, node: Node, burst: Burst, why: str) -> Burst:
    given = _set(ledger, node, _paid(replace(burst, wanted=False, idle_since=None, closing=""), now))
    ledger.event(now, "burst", f"{node.name} is given back: {why}.", node=node.name)
    ledger.dirty = True
    return given


def _set(ledger: Ledger, node: Node, burst: Burst) -> Burst:
    if burst != node.burst:
        served = node.in_service
        node.burst = burst
        ledger.touched(node)
        if served != node.in_service:
            ledger.space.node_changed(node.name)
            ledger.dirty = True
    return burst


def next_due(ledger: Ledger, now: float) -> float:
    """Return when :func:`look` comes to something by time alone; infinite if it doesn't."""
    forgotten = min((spending.counts_until(node.burst) for node in ledger.removed.values() if node.burst), default=math.inf)
    nodes = [node for node in ledger.nodes.values() if node.burst is not None and node.burst.paid_since is not None]
    if not nodes:
        return forgotten
    bursts = _bursts(nodes)
    times = [forgotten, *(one.idle_since + ledger.config.burst_idle_s for one in bursts if one.wanted and one.idle_since is not None)]
    if (rate := spending.rate(bursts)) > 0 and any(one.wanted and not one.closing for one in bursts):
        left = ledger.config.burst_budget_per_day - spending.spent(ledger.bursts(), now)
        times.append(now + max(left / rate, 1.0))
    return min(times)


# Taking one


@dataclass
class _Plan:
    """One look: the nodes that are coming, with whoever is meant to have them; what is promised besides; when to look again."""

    ledger: Ledger
    now: float
    kept: frozenset[Spot]
    coming: set[str]
    used: set[str] = field(default_factory=set)
    booked: list[Lease] = field(default_factory=list)
    failed: set[object] = field(default_factory=set)
    again: float = math.inf

    def serve(self, request: Request) -> None:
        """See to it that it has a node in time, if that is possible and nobody else does it."""
        ask, now = request.ask, self.now
        key = (ask.shape, ask.preemptible, ask.endless, ask.duration_s)
        if key in self.failed:
            return
        there = min((self._there_at(name) for name in self.coming), default=math.inf)
        if self.coming and not self._starts_by(request, max(now, there)) and (grants := self._find(ask, self.coming)):
            self._promise(request, grants)
            return
        due = request.waiting_since + self.ledger.config.burst_after_s
        nodes = [node for node in self._off() if not self._offer(node).refuses(ask)]
        soon = [node for node in nodes if now >= due - self._offer(node).boot_s]
        if len(soon) < len(nodes):
            self.again = min(self.again, *(due - self._offer(node).boot_s for node in nodes if node not in soon))
        in_time = [node for node in soon if not self._starts_by(request, max(due, now + self._offer(node).boot_s))]
        if not self._take(request, in_time) and len(in_time) == len(nodes):
            self.failed.add(key)  # whoever asks for the same has no other nodes to choose from

    def _there_at(self, name: str) -> float:
        """When a node that was asked for should be there."""
        burst = self.ledger.nodes[name].burst
        return math.inf if burst is None else burst.wanted_at + burst.offer.boot_s

    def _starts_by(self, request: Request, at: float) -> bool:
        return request.starts_at is not None and request.starts_at <= at

    def _take(self, request: Request, nodes: Sequence[Node]) -> bool:
        """Take the cheapest of these that make room for it, as few as that needs."""
        tried: list[str] = []
        for node in nodes:
            tried.append(node.name)
            grants = self._find(request.ask, self.coming.union(tried))
            if grants is None:
                continue
            taken = [self.ledger.nodes[name] for name in tried if any(grant.node == name for grant in grants)]
            if not self._affordable(request.ask, taken):
                self.again = min(self.again, self.now + LATER_S)
                budget = self.ledger.config.burst_budget_per_day
                names = ", ".join(one.name for one in taken)
                told = f"{names} could serve it, but the day's budget of {budget:g} for nodes by the hour doesn't pay for that."
                self.ledger.waits(request, (*request.reasons, told), request.starts_at)
                return False
            for one in taken:
                self._want(one, request)
            self._promise(request, grants)
            return True
        return False

    def _affordable(self, ask: Ask, nodes: Sequence[Node]) -> bool:
        """Whether the budget pays for these until the work is done, beside what runs already until that is expected to be done."""
        ledger, now = self.ledger, self.now
        work_s = ask.duration_s or ledger.config.default_duration_s
        wanted = sum(spending.cost(one, one.offer.boot_s + work_s + ledger.config.burst_idle_s) for one in _bursts(nodes))
        return spending.spent(ledger.bursts(), now) + self._promised() + wanted <= ledger.config.burst_budget_per_day

    def _promised(self) -> float:
        """What those that run will cost until the work on them, or that they boot for, is expected to be done."""
        ledger, total = self.ledger, 0.0
        for node in ledger.nodes.values():
            if node.burst is not None and node.burst.wanted:
                work = [ledger.requests[lease.request_id].ask for lease in _leases(ledger, node)]
                work += [lease_ask for name, lease_ask in self._meant if name == node.name]
                ends = max((ask.duration_s or ledger.config.default_duration_s for ask in work), default=0.0)
                boots_s = max(0.0, self._there_at(node.name) - self.now) if node.burst.coming else 0.0
                total += spending.cost(node.burst, boots_s + ends + ledger.config.burst_idle_s)
        return total

    @property
    def _meant(self) -> list[tuple[str, Ask]]:
        return [(grant.node, self.ledger.requests[one.request_id].ask) for one in self.booked for grant in one.grants]

    def _want(self, node: Node, request: Request) -> None:
        assert node.burst is not None
        burst = replace(node.burst, wanted=True, wanted_at=self.now, idle_since=None, closing="")
        _set(self.ledger, node, _paid(burst, self.now))
        self.coming.add(node.name)
        offer = burst.offer
        text = f"{node.name} is taken for {request.key}, at {_price(offer)}: it will be there in {offer.boot_s:g} s."
        self.ledger.event(self.now, "burst", text, node=node.name, request=request)

    def _promise(self, request: Request, grants: tuple[Grant, ...]) -> None:
        """Nobody else counts on the same devices in this look."""
        names = sorted({grant.node for grant in grants} & self.coming)
        lease = Lease(f"~{len(self.booked)}", request.id, 0, LeaseState.ACTIVE, grants, self.now, math.inf, self.now)
        self.ledger.space.book(lease)
        self.booked.append(lease)
        self.used.update(names)
        if names:
            at = max(map(self._there_at, names))
            told = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} being booted for it: a node that costs by the hour."
            sooner = max(at, self.now) if request.starts_at is None else min(max(at, self.now), request.starts_at)
            self.ledger.waits(request, (*request.reasons, told), sooner)

    def _find(self, ask: Ask, names: Iterable[str]) -> tuple[Grant, ...] | None:
        open_to = {name for name in names if not self._offer(self.ledger.nodes[name]).refuses(ask)}
        if not open_to:
            return None
        with self.ledger.space.as_if_on(open_to):
            return self.ledger.space.find(ask, self.kept)

    def _off(self) -> list[Node]:
        """Those that could be taken now, the cheapest first."""
        found = []
        for node in self.ledger.nodes.values():
            burst = node.burst
            if burst is None or node.lost or node.cordoned or burst.wanted or burst.offer.state is not BurstState.OFF:
                continue
            if self.now < burst.paused_until:
                self.again = min(self.again, burst.paused_until)
            else:
                found.append(node)
        return sorted(found, key=lambda node: (self._offer(node).price_per_hour, self._offer(node).boot_s, node.name))

    def _offer(self, node: Node) -> BurstOffer:
        assert node.burst is not None
        return node.burst.offer


def plan(ledger: Ledger, now: float, line: Iterable[Request], kept: frozenset[Spot]) -> None:
    """Take nodes for those who still wait after a scheduling pass, first in line first; note which nodes nobody needs."""
    ledger.burst_due = math.inf
    nodes = [node for node in ledger.nodes.values() if node.burst is not None]
    if not nodes:
        return
    coming = {node.name for node in nodes if node.burst is not None and node.burst.coming and not node.lost and not node.cordoned}
    look = _Plan(ledger, now, kept, coming)
    waiting = (request for request in line if not request.lease_id and request.id not in ledger.clearing)
    try:
        if ledger.config.burst_budget_per_day > 0:
            for request in islice(waiting, LOOKED_AT):
                look.serve(request)
    finally:
        for lease in look.booked:
            ledger.space.unbook(lease)
    ledger.burst_due = look.again if look.again > now else math.inf
    for node in nodes:
        if node.burst is not None and node.burst.wanted:
            idle = node.name not in look.used and not _leases(ledger, node)
            since = (node.burst.idle_since if node.burst.idle_since is not None else now) if idle else None
            _set(ledger, node, replace(node.burst, idle_since=since))


def _leases(ledger: Ledger, node: Node) -> list[Lease]:
    spots = ((node.name, device.uuid) for device in node.devices)
    held = sorted({lease for spot in spots for lease in ledger.space.leased.get(spot, ())})
    gone = [lease.id for lease in ledger.leases.values() if any(grant.node == node.name for grant in lease.grants)] if not held else []
    return [ledger.leases[lease] for lease in (*held, *gone) if lease in ledger.leases]


def _bursts(nodes: Iterable[Node]) -> list[Burst]:
    return [node.burst for node in nodes if node.burst is not None]


def _price(offer: BurstOffer) -> str:
    return f"{offer.price_per_hour:g} an hour"
