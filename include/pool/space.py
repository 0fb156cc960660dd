"""What every device still has to give: inventory and leases together, as placement understands them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from include.errors import InputError
from include.placement.node import FULL
from include.placement.node import Device as PlacedDevice
from include.placement.node import Node as PlacedNode
from include.placement.placer import Placer
from include.placement.policies import BestFit, Policy, Spread, Updraft
from include.placement.workload import Workload
from include.pool import device_memory, mig, preferences, topology
from include.pool.ask import Ask
from include.pool.grants import NODE_LABEL
from include.pool.state import Device, Grant, Lease, Node
from include.pool.staying import Expected, Staying

Spot = tuple[str, str]
"""A device: its node's name and its uuid."""
MOST_REMEMBERED = 10_000
T = TypeVar("T")
POLICIES: dict[str, type[Policy]] = {"updraft": Updraft, "pack": BestFit, "spread": Spread}
_CPU = 1  # CPU and host memory are not the pool's business: every node has the same, no request wants any


@dataclass(frozen=True)
class Part:
    """Devices of one kind on one node: what placement calls a node."""

    name: str
    node: str
    model: str
    usable_mib: int
    sharing: str
    mig: str
    devices: tuple[Device, ...]

    @property
    def code(self) -> str:
        """The kind, as the model that placement is told."""
        return f"{self.model}|{self.usable_mib}|{self.sharing}|{self.mig}"

    @property
    def title(self) -> str:
        return f"{self.model} {self.mig}".strip()


class Space:
    """Free shares of devices, kept in step with reports and leases. ``version`` of a part grows with every change to it."""

    def __init__(self, policy: str = "updraft") -> None:
        if policy not in POLICIES:
            raise InputError(f"{policy!r} is no policy.", where="gpu_pool.policy", remedy=f"One of: {', '.join(POLICIES)}.")
        self._policy: Policy = POLICIES[policy]()
        self._nodes: Mapping[str, Node] = {}
        self.parts: dict[str, Part] = {}
        self.parts_of: dict[str, list[Part]] = {}
        self.leased: dict[Spot, dict[str, int]] = {}
        self.capacity: dict[Spot, int] = {}
        self.version: dict[str, int] = {}
        self._signatures: dict[str, object] = {}
        self._alternatives: dict[tuple[object, ...], tuple[Workload, ...]] = {}
        self.remembered: dict[object, Any] = {}
        """What follows from the layout alone, until it changes: looking through all parts at every request takes long on large fleets."""
        self._placer: Placer | None = None
        self.staying = Staying(self._policy, lambda node: self.parts_of.get(node, ()))
        self._masked: frozenset[Spot] = frozenset()
        self._as_if_on: frozenset[str] = frozenset()

    # Keeping in step

    def rebuild(self, nodes: Mapping[str, Node], leases: Iterable[tuple[Lease, Expected]]) -> None:
        """Everything anew, from the truth."""
        self._nodes, known = nodes, list(leases)
        self.staying.restart(known)
        self.leased = {}
        for lease, _ in known:
            for spot, milli in holdings(lease):
                self.leased.setdefault(spot, {})[lease.id] = milli
        self._structure()

    def node_changed(self, name: str) -> None:
        """A report has come, or the node went in or out of service, or is gone."""
        node = self._nodes.get(name)
        if (None if node is None else _signature(node)) != self._signatures.get(name):
            self._lay_out(name)
            return
        for part in self.parts_of.get(name, ()):
            self._renew(part)

    def book(self, lease: Lease) -> None:
        for spot, milli in holdings(lease):
            self.leased.setdefault(spot, {})[lease.id] = milli
        self._touched(lease)

    def unbook(self, lease: Lease) -> None:
        for spot, _ in holdings(lease):
            held = self.leased.get(spot, {})
            held.pop(lease.id, None)
            if not held:
                self.leased.pop(spot, None)
        self._touched(lease)

    def aged(self, lease: Lease) -> None:
        """Its expected end has changed."""
        for grant in lease.grants:
            for part in self.parts_of.get(grant.node, ()):
                self.version[part.name] += 1

    def _touched(self, lease: Lease) -> None:
        for grant in lease.grants:
            for part in self.parts_of.get(grant.node, ()):
                self._renew(part)

    def _structure(self) -> None:
        self.parts, self.parts_of, self.capacity, self._signatures = {}, {}, {}, {}
        for name in self._nodes:
            self._lay_out(name)

    def _lay_out(self, name: str) -> None:
        """One node anew. Versions are never forgotten: a part that comes back is not what it was."""
        for part in self.parts_of.pop(name, ()):
            del self.parts[part.name]
            for device in part.devices:
                self.capacity.pop((name, device.uuid), None)
        self._signatures.pop(name, None)
        node = self._nodes.get(name)
        if node is not None:
            self.parts_of[name], self._signatures[name] = _parts(node), _signature(node)
            for part in self.parts_of[name]:
                self.parts[part.name] = part
                self.version[part.name] = self.version.get(part.name, 0) + 1
                self._measure(part)
        self._alternatives.clear()
        self.remembered.clear()
        self._placer = None

    def _measure(self, part: Part) -> None:
        for device in self._devices(part):
            self.capacity[part.node, device.uuid] = self._offered(part, device)

    def _renew(self, part: Part) -> None:
        self.version[part.name] += 1
        self._measure(part)
        if self._placer is not None:
            self._placer.renew(self._placed(part))

    def _devices(self, part: Part) -> list[Device]:
        """As last reported (``part.devices`` are as they were when the fleet was laid out)."""
        now = {device.uuid: device for device in self._nodes[part.node].devices}
        return [now[device.uuid] for device in part.devices]

    def _offered(self, part: Part, device: Device) -> int:
        """Thousandths that leases may have together: 0 out of service, 1000 with nothing foreign on it."""
        node = self._nodes[part.node]
        serves = node.in_service or (node.name in self._as_if_on and not node.cordoned and not node.lost)
        if not serves or device.failed or any(device.uuid in cut.destroy for cut in node.cuts if not cut.failed):
            return 0
        taken = self.foreign_mib(part.node, device) + sum(self.overused_mib(part.node, device).values())
        return FULL if taken == 0 else max(0, FULL * (part.usable_mib - taken) // part.usable_mib) if part.usable_mib else 0

    def foreign_mib(self, node: str, device: Device) -> int:
        """Memory that nobody's lease accounts for, MiB."""
        return device_memory.foreign_mib(self.leased.get((node, device.uuid), {}), device)

    def seen_mib(self, node: str, device: Device) -> dict[str, int]:
        """Memory that holders are seen to use, MiB by lease id; who uses nothing, or can't be told from others, is left out."""
        return device_memory.seen_mib(self.leased.get((node, device.uuid), {}), device)

    def overused_mib(self, node: str, device: Device) -> dict[str, int]:
        """Memory that the holders of shares use beyond what they were granted, MiB by lease id; those within their grant are left out."""
        return device_memory.overused_mib(self.leased.get((node, device.uuid), {}), device)

    def capacity_milli(self) -> int:
        """Thousandths of GPUs in service that are there for good, as quotas count them: a MIG instance by its slices."""
        spots = ((part, self.capacity.get((part.node, device.uuid), 0)) for part in self._owned() for device in part.devices)
        return sum(milli * mig.slices(part.title) // 7 for part, milli in spots)

    def nominal_milli(self) -> int:
        """The same with everything in service that is there for good, and nothing foreign on it."""
        return self.once("nominal", lambda: sum(len(part.devices) * (FULL * mig.slices(part.title) // 7) for part in self._owned()))

    def _owned(self) -> Iterator[Part]:
        return (part for part in self.parts.values() if self._nodes[part.node].burst is None)

    def once(self, key: object, find: Callable[[], T]) -> T:
        """What ``find`` finds, found once for each layout of the fleet."""
        if key not in self.remembered:
            if len(self.remembered) >= MOST_REMEMBERED:
                self.remembered.clear()
            self.remembered[key] = find()
        found: T = self.remembered[key]
        return found

    def free(self, spot: Spot) -> int:
        """Thousandths still to be had."""
        return max(0, self.capacity.get(spot, 0) - sum(self.leased.get(spot, {}).values()))

    def spots_of(self, leases: Iterable[str]) -> Iterable[Spot]:
        """The devices on which these live leases lie."""
        wanted = set(leases)
        return [spot for spot, held in self.leased.items() if not wanted.isdisjoint(held)] if wanted else []

    def _placed(self, part: Part, blocked: frozenset[Spot] | None = None) -> PlacedNode:
        out = self._masked if blocked is None else blocked
        devices = tuple(
            PlacedDevice(
                device.uuid, part.code, part.usable_mib, 0 if (part.node, device.uuid) in out else self.free((part.node, device.uuid))
            )
            for device in part.devices
        )
        return PlacedNode(part.name, _CPU, _CPU, devices, dict(self.labels(part.node)))

    def placer(self) -> Placer:
        if self._placer is None:
            self._placer = Placer([self._placed(part) for part in self.parts.values()], self._policy)
            self.staying.tell_all()
        return self._placer

    def node(self, name: str) -> Node:
        return self._nodes[name]

    def labels(self, node: str) -> Mapping[str, str]:
        """What its reporter says, and its own name: so that work which must run on one machine can say so."""
        return {**self._nodes[node].labels, NODE_LABEL: node}

    # Finding

    def parts_for(self, request: Workload) -> Iterable[Part]:
        """Parts of the kind and with the labels that it wants, whatever they have free."""
        pinned = dict(request.labels).get(NODE_LABEL)
        for part in self.parts.values() if pinned is None else self.parts_of.get(pinned, ()):
            if part.code in request.models and all(self.labels(part.node).get(key) == value for key, value in request.labels):
                yield part

    def alternatives(self, ask: Ask) -> tuple[Workload, ...]:
        """The ways in which placement may fulfil the ask on one node, best first; empty when no kind of device here suits."""
        known = self._alternatives.get(ask.shape)
        if known is None:
            known = self._alternatives[ask.shape] = tuple(_alternatives(ask, self.parts.values()))
        return known

    def learn(self, ask: Ask) -> None:
        """Placement learns what is usually asked."""
        for request in self.alternatives(ask)[:1]:
            self.placer().learn(request)

    def costly(self) -> frozenset[Spot]:
        """Devices of nodes that are taken by the hour, whether they are on or not."""
        return self.once("costly", lambda: frozenset(self._spots_where(lambda node: node.burst is not None)))

    def closed_to(self, ask: Ask) -> frozenset[Spot]:
        """Devices of such nodes on which this must not run."""
        if not self.costly() or (ask.preemptible and not ask.endless):
            return frozenset()
        return frozenset(self._spots_where(lambda node: node.burst is not None and bool(node.burst.offer.refuses(ask))))

    def places_alike(self, ask: Ask) -> object:
        """Return a key: asks of one key fit the same places here."""
        return (ask.shape, self.closed_to(ask)) if self.costly() else ask.shape

    def _spots_where(self, wanted: Callable[[Node], bool]) -> Iterator[Spot]:
        return ((part.node, device.uuid) for part in self.parts.values() if wanted(self._nodes[part.node]) for device in part.devices)

    @contextmanager
    def as_if_on(self, names: Iterable[str]) -> Iterator[None]:
        """Look for places as if these nodes, which are taken by the hour, were on."""
        before, self._as_if_on = self._as_if_on, frozenset(names)
        changed = sorted(before ^ self._as_if_on)
        for name in changed:
            self.node_changed(name)
        try:
            yield
        finally:
            self._as_if_on = before
            for name in changed:
                self.node_changed(name)

    def find(self, ask: Ask, blocked: frozenset[Spot] = frozenset()) -> tuple[Grant, ...] | None:
        """The best place now that leaves ``blocked`` devices alone; one grant a node. None if there is none. Books nothing.

        Nodes that cost by the hour come after all others.
        """
        if not self.alternatives(ask):
            return None
        costly = self.costly()
        for out in (blocked | costly, blocked | self.closed_to(ask)) if costly else (blocked,):
            apart = preferences.apart(self, ask, out)
            if apart and (grants := self._find_outside(ask, out | apart)):
                return grants
            if grants := self._find_outside(ask, out):
                return grants
        return None

    def whole(self, part: Part, blocked: frozenset[Spot]) -> list[Device]:
        """The part's devices that are free as a whole, without the ``blocked`` ones."""
        spots = ((device, (part.node, device.uuid)) for device in part.devices)
        return [device for device, spot in spots if spot not in blocked and self.free(spot) == FULL]

    def _find_outside(self, ask: Ask, blocked: frozenset[Spot]) -> tuple[Grant, ...] | None:
        self._mask(blocked)
        for request in self.alternatives(ask):
            for value in preferences.values(self, request, ask, self._masked):
                if grants := self._find(replace(request, labels=(*request.labels, (ask.same, value))), ask):
                    return grants
            if grants := self._find(request, ask):
                return grants
        return None

    def _mask(self, blocked: frozenset[Spot]) -> None:
        """Placement sees these devices as taken, until another question leaves others alone: a pass asks often with the same."""
        changed, self._masked = {node for node, _ in blocked ^ self._masked}, blocked
        for node in changed:
            for part in self.parts_of.get(node, ()):
                self.placer().renew(self._placed(part))

    def _find(self, request: Workload, ask: Ask) -> tuple[Grant, ...] | None:
        placer, grants, masked = self.placer(), list[Grant](), set[str]()
        try:
            for _rank in range(ask.nodes):
                found = placer.find(request)
                if found is None:
                    return None
                part, uuids = self.parts[found.node], found.uuids
                if not request.shared:
                    uuids = tuple(device.uuid for device in topology.choose(self.whole(part, self._masked), request.gpus))
                grants.append(self.grant(part, uuids, found.milli, ask))
                if ask.nodes > 1:  # the next one goes to another node
                    masked.add(part.node)
                    everything = frozenset((part.node, device.uuid) for device in self._nodes[part.node].devices)
                    for other in self.parts_of[part.node]:
                        placer.renew(self._placed(other, everything))
            return tuple(grants)
        finally:
            for node in masked:
                for part in self.parts_of.get(node, ()):
                    placer.renew(self._placed(part))

    def grant(self, part: Part, uuids: Iterable[str], milli: int, ask: Ask) -> Grant:
        """These devices of the part, ``milli`` of each."""
        chosen = set(uuids)
        devices = [device for device in part.devices if device.uuid in chosen]
        memory = ask.memory_mib if ask.memory_mib and milli < FULL else part.usable_mib * milli // FULL
        return Grant(
            part.node, tuple(device.uuid for device in devices), tuple(device.index for device in devices), part.title, milli, memory
        )


def holdings(lease: Lease) -> list[tuple[Spot, int]]:
    """Every device of a lease with its thousandths."""
    return [((grant.node, uuid), grant.milli) for grant in lease.grants for uuid in grant.uuids]


def quota_milli(grants: Iterable[Grant]) -> int:
    """What counts against a quota: thousandths of GPUs; a MIG instance counts its compute slices of seven (NVIDIA's MIG profiles)."""
    return sum(len(grant.uuids) * (grant.milli * mig.slices(grant.model) // 7) for grant in grants)


def _parts(node: Node) -> list[Part]:
    kinds: dict[tuple[str, int, str, str], list[Device]] = {}
    for device in sorted(node.devices, key=lambda device: (device.index, device.uuid)):
        usable = max(device.memory_mib - device.reserved_mib, 0)
        kinds.setdefault((device.model, usable, device.sharing, device.mig), []).append(device)
    return [
        Part(f"{node.name}/{number}", node.name, *kind, devices=tuple(devices))
        for number, (kind, devices) in enumerate(sorted(kinds.items()))
    ]


def _signature(node: Node) -> object:
    """What the fleet's layout depends on."""
    devices = sorted((d.uuid, d.index, d.model, d.memory_mib - d.reserved_mib, d.sharing, d.mig, d.island, d.numa) for d in node.devices)
    return devices, sorted(node.labels.items()), node.burst and (node.burst.offer.price_per_hour, node.burst.offer.spot)


def _alternatives(ask: Ask, parts: Iterable[Part]) -> Iterable[Workload]:
    suiting = [part for part in parts if part.mig == ask.mig and (not ask.models or part.model in ask.models)]
    whole = frozenset(part.code for part in suiting)
    shared = frozenset(part.code for part in suiting if part.sharing and part.usable_mib >= ask.memory_mib)
    if ask.gpus:
        ways = [Workload(gpus=ask.gpus, models=whole, labels=ask.labels)] if whole else []
    elif ask.fraction:
        ways = [Workload(milli=round(ask.fraction * FULL), models=shared, labels=ask.labels)] if shared else []
    else:
        alone = frozenset(part.code for part in suiting if not part.sharing and part.usable_mib >= ask.memory_mib)
        ways = [Workload(gpu_memory_mib=ask.memory_mib, models=shared, labels=ask.labels)] if shared else []
        ways += [Workload(gpus=1, models=alone, labels=ask.labels)] if alone else []
    return ways
