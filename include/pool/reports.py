"""What agents report becomes the inventory; what they no longer see is lost to its holders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from include.pool import burst, recut
from include.pool.errors import Conflict
from include.pool.ledger import Ledger
from include.pool.state import HOST_LABEL, OVERUSED, Device, LeaseState, Node, NodeReport

TWICE = "reports it too"
"""In the words of a device that is out of use because another reporter told of it first."""

SETTLED_S = 15.0
"""What a device holds sooner after a grant may still be the last holder's."""
PEAK_STEP = 0.02
"""A peak is written down when it is larger than the last one by this part."""


class Reports:
    """Takes reports into the books."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, now: float, reporter: str, source: str, sequence: int, clock: float, nodes: Sequence[NodeReport]) -> None:
        """All or nothing: a report with one node of somebody else's changes none. Times are the server's: an agent's clock may be wrong."""
        mine = [node for node in self._ledger.nodes.values() if node.reporter == reporter]
        if any(node.sequence >= sequence for node in mine):
            raise Conflict(
                f"report {sequence} comes after {max(node.sequence for node in mine)}.",
                where=f"reporter {reporter}",
                remedy="It is dropped.",
            )
        for report in nodes:
            known = self._ledger.nodes.get(report.name)
            if known is not None and known.reporter != reporter and not known.lost:
                raise Conflict(f"is reported by {known.reporter}.", where=f"node {report.name}", remedy="Name the nodes apart.")
        for report in nodes:
            self._one(now, reporter, source, sequence, clock - now, report)
        for node in mine:
            if node.name not in {report.name for report in nodes} and not node.lost:
                self.silent(now, node, f"{reporter} no longer sees it")

    def _one(self, now: float, reporter: str, source: str, sequence: int, skew_s: float, report: NodeReport) -> None:
        ledger, known = self._ledger, self._ledger.nodes.get(report.name)
        node = known or Node(report.name, reporter, source, {}, (), now, sequence)
        before, labels, served = {device.uuid: device for device in node.devices}, node.labels, known is not None and known.in_service
        node.reporter, node.source, node.labels = reporter, source, dict(report.labels)
        node.devices = tuple(self._reported_once(reporter, source, report))
        node.reported_at, node.sequence, node.clock_skew_s = now, sequence, round(skew_s, 3)
        came, node.lost = known is None or node.lost, False
        ledger.nodes[node.name] = node
        if known is None and report.burst is not None and (before_it := ledger.removed.pop(node.name, None)) is not None:
            node.burst = before_it.burst
        node.burst = burst.reported(ledger, now, node, report.burst)
        if came:
            ledger.event(now, "node_back" if known else "node_new", f"{node.name} reports {_gpus(len(node.devices))}.", node=node.name)
        there = {device.uuid: device for device in node.devices}
        for uuid, device in before.items() if node.burst is None or (served and node.burst.serves) else ():
            gone = "it is no longer there" if uuid not in there else there[uuid].failed
            if gone and not (uuid in there and device.failed):
                ledger.event(now, "device_failed", f"GPU {device.index} of {node.name} has failed: {gone}.", node=node.name)
        if came or _offers(before.values()) != _offers(node.devices) or labels != node.labels or served != node.in_service:
            free = self._free(node)
            ledger.space.node_changed(node.name)
            self._free_failed(now, node)
            ledger.dirty = ledger.dirty or came or free != self._free(node)
        if node.burst is not None:
            burst.look(ledger, now)
        if source != "declared":
            self._peaks(now, node)
        if node.cuts:
            recut.look(ledger, now, node)
        if ledger.config.overuse == "end":
            self._end_overuse(now, node)
        ledger.touched(node)

    def _reported_once(self, reporter: str, source: str, report: NodeReport) -> Iterable[Device]:
        """Its devices; those that another reporter tells of too must not be used here, or they would be given out twice.

        They are known by their UUID, and a whole machine by its host name: Kubernetes counts GPUs and has no UUIDs of theirs. Who told of
        them first goes on.
        """
        others = [node for node in self._ledger.nodes.values() if node.reporter != reporter and not node.lost and not node.simulated]
        if source == "declared" or not others:
            return report.devices
        first = {node.name: [device for device in node.devices if TWICE not in device.failed] for node in others}
        owner = {device.uuid: node for node in others for device in first[node.name]}
        host = report.labels.get(HOST_LABEL)
        same = next((node for node in others if host and node.labels.get(HOST_LABEL) == host and first[node.name]), None)
        found = []
        for device in report.devices:
            twice = owner.get(device.uuid) or same
            why = f"{twice.reporter} {TWICE}, as a GPU of {twice.name}: stop one of the two" if twice else ""
            found.append(replace(device, failed=device.failed or why))
        return found

    def _peaks(self, now: float, node: Node) -> None:
        """The most that each holder was seen to use, for what it should ask for next time: not each MiB more is worth a write."""
        for device in node.devices:
            for lease_id, used in self._ledger.space.seen_mib(node.name, device).items():
                lease = self._ledger.leases.get(lease_id)
                if lease is not None and now - lease.granted_at >= SETTLED_S and used > (lease.peak_mib or 0) * (1 + PEAK_STEP):
                    lease.peak_mib = used
                    self._ledger.touched(lease)

    def _end_overuse(self, now: float, node: Node) -> None:
        """Who uses more memory of a shared device than it was granted has to stop, and does not come again by itself."""
        for device in node.devices:
            for lease_id, over_mib in self._ledger.space.overused_mib(node.name, device).items():
                lease = self._ledger.leases.get(lease_id)
                if lease is not None and lease.state is LeaseState.ACTIVE:
                    where = f"GPU {device.index} of {node.name}"
                    self._ledger.notice(now, lease, OVERUSED, f"it uses {over_mib} MiB more of {where} than it was granted.")

    def _free(self, node: Node) -> dict[str, int]:
        return {device.uuid: self._ledger.space.free((node.name, device.uuid)) for device in node.devices}

    def _free_failed(self, now: float, node: Node) -> None:
        """Leases on devices that are gone or must not be used end at once; their holders are told at their next heartbeat."""
        usable = {device.uuid for device in node.devices if not device.failed}
        for lease in list(self._ledger.leases.values()):
            lost = [uuid for grant in lease.grants if grant.node == node.name for uuid in grant.uuids if uuid not in usable]
            if lost:
                self._ledger.end_lease(now, lease, "lost", f"a GPU of {node.name} has failed or is gone ({lost[0]}).", requeue=True)

    def silent(self, now: float, node: Node, why: str) -> None:
        """It gets nothing new."""
        node.lost, node.cuts = True, ()
        self._ledger.space.node_changed(node.name)
        self._ledger.dirty = True
        self._ledger.touched(node)
        self._ledger.event(now, "node_lost", f"{node.name} is out of service: {why}.", node=node.name)

    def lose_leases(self, now: float, node: Node, why: str) -> None:
        for lease in list(self._ledger.leases.values()):
            if any(grant.node == node.name for grant in lease.grants):
                self._ledger.end_lease(now, lease, "lost", why, requeue=True)


def _offers(devices: Iterable[Device]) -> list[Device]:
    """All that says what can be had of them: not what people like to read."""
    return [replace(device, readings={}) for device in devices]


def _gpus(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"
