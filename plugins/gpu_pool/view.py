"""The pool as its API shows it: JSON types, times as ISO-8601 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from include.pool import spending
from include.pool.pool import Pool
from include.pool.state import Burst, Device, Grant, Lease, LeaseState, Node, Notice, Quota, Request, RequestState
from include.pool.what_if import WhatIf

Json = dict[str, Any]
SEEN_GPU_HOURS = 0.05


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def maybe(at: float | None) -> str | None:
    return None if at is None else iso(at)


class View:
    """One moment of the pool, as the broker's thread sees it. ``viewer`` is who looks: a lease's token is shown to its holder alone."""

    def __init__(self, pool: Pool, now: float) -> None:
        self.pool, self.now = pool, now

    @cached_property
    def line(self) -> list[Request]:
        """Who waits, first in line first."""
        return self.pool.line(self.now)

    @cached_property
    def places(self) -> dict[str, int]:
        """Request id → place in the queue, from 1."""
        return {request.id: place for place, request in enumerate(self.line, 1)}

    def request(self, request: Request, viewer: str) -> Json:
        lease = self.pool.leases.get(request.lease_id)
        place = self.places.get(request.id) if request.state is RequestState.WAITING else None
        return request_json(request, place, self.lease(lease, viewer) if lease else None)

    def lease(self, lease: Lease, viewer: str, request: Request | None = None) -> Json:
        asked = request or self.pool.requests.get(lease.request_id)
        return lease_json(lease, asked, viewer, self.pool.config.lease_ttl_s)

    def inventory(self) -> Json:
        nodes = sorted(self.pool.nodes.values(), key=lambda node: node.name)
        row: Json = {"at": iso(self.now), "simulated": any(node.simulated for node in nodes), "nodes": [self.node(node) for node in nodes]}
        return row | {"burst_budget": self.pool.config.burst_budget_per_day, "burst_spent": round(self.pool.burst_spent(self.now), 2)}

    def node(self, node: Node) -> Json:
        plain = ("name", "source", "simulated", "reporter", "cordoned", "lost", "clock_skew_s")
        row: Json = {name: getattr(node, name) for name in plain}
        devices = [self._device(node, device) for device in sorted(node.devices, key=lambda device: (device.index, device.uuid))]
        return (
            row
            | {"labels": dict(node.labels), "reported_at": iso(node.reported_at), "devices": devices}
            | {"burst": self._burst(node.burst) if node.burst else None}
        )

    def _burst(self, burst: Burst) -> Json:
        offer = burst.offer
        row: Json = {name: getattr(offer, name) for name in ("price_per_hour", "boot_s", "spot", "failed")}
        row |= {"state": offer.state.value, "wanted": burst.wanted, "closing": burst.closing.partition(": ")[2]}
        return row | {"wanted_at": iso(burst.wanted_at) if burst.wanted else None, "spent": round(spending.spent((burst,), self.now), 2)}

    def wanted(self, reporter: str) -> list[Json]:
        """The reporter's machines that are taken by the hour, and whether they shall be on; none that the pool has never asked for."""
        nodes = [node for node in self.pool.nodes.values() if node.reporter == reporter]
        return [{"node": node.name, "up": node.burst.wanted} for node in nodes if node.burst is not None and node.burst.wanted_at]

    def cuts(self, reporter: str) -> list[Json]:
        """What the reporter's nodes are to do to their GPUs."""
        nodes = [node for node in self.pool.nodes.values() if node.reporter == reporter]
        return [
            {"node": node.name, "parent": cut.parent, "destroy": list(cut.destroy), "create": [list(place) for place in cut.create]}
            for node in nodes
            for cut in node.cuts
            if not cut.failed
        ]

    def _device(self, node: Node, device: Device) -> Json:
        plain = (
            "uuid",
            "index",
            "model",
            "memory_mib",
            "sharing",
            "mig",
            "parent",
            "first_slice",
            "island",
            "numa",
            "used_mib",
            "reserved_mib",
            "failed",
        )
        row: Json = {name: getattr(device, name) for name in plain}
        held = self.pool.leased_milli(node.name, device.uuid)
        over = self.pool.overused_mib(node.name, device.uuid)
        live = {lease_id: milli for lease_id, milli in held.items() if lease_id in self.pool.leases}
        row |= {
            "foreign_mib": self.pool.foreign_mib(node.name, device.uuid),
            "leased_milli": sum(held.values()),
            "free_milli": self.pool.free_milli(node.name, device.uuid),
            "unknown": list(device.unknown),
            "readings": dict(device.readings),
            "processes": [dict(vars(process)) for process in device.processes],
            "leases": [self._holding(lease_id, milli, over.get(lease_id, 0)) for lease_id, milli in live.items()],
        }
        return row

    def _holding(self, lease_id: str, milli: int, over_mib: int) -> Json:
        lease = self.pool.leases[lease_id]
        request = self.pool.requests[lease.request_id]
        who = {"holder": request.holder, "key": request.key, "team": request.ask.team, "priority": request.ask.priority}
        return {"lease_id": lease_id, "request_id": request.id, **who, "milli": milli, "overused_mib": over_mib, "state": lease.state.value}

    def quotas(self) -> list[Json]:
        """Teams with a quota, and those that hold or want something without one."""
        use = self.pool.team_use()
        asking = {request.ask.team for request in self.pool.requests.values()}
        return [self.quota(team, use) for team in sorted({*self.pool.quotas, *use, *asking, *self._past})]

    @cached_property
    def _past(self) -> dict[str, float]:
        """Team → GPU-hours of late, without those too few to be seen."""
        return {team: hours for team, hours in self.pool.team_past(self.now).items() if hours >= SEEN_GPU_HOURS}

    def quota(self, team: str, use: dict[str, float] | None = None) -> Json:
        quota, used = self.pool.quotas.get(team), (self.pool.team_use() if use is None else use).get(team, 0.0)
        row = vars(quota or Quota(team))
        borrowed = max(0.0, used - quota.guaranteed) if quota else used if self.pool.quotas else 0.0
        return {**row, "used": used, "borrowed": round(borrowed, 3), "declared": quota is not None} | {
            "past_gpu_hours": round(self._past.get(team, 0.0), 1)
        }

    def what_if(self, found: WhatIf, viewer: str) -> Json:
        return {
            "possible_now": found.possible_now,
            "grants": [grant_json(grant) for grant in found.grants],
            "preempts": [self.lease(self.pool.leases[lease_id], viewer) for lease_id in found.preempts],
            "starts_at": maybe(found.starts_at),
            "reasons": list(found.reasons),
            "impossible": found.impossible,
            "nearest": found.nearest.to_json() if found.nearest else None,
        }


def request_json(request: Request, place: int | None, lease: Json | None) -> Json:
    return {
        "id": request.id,
        "key": request.key,
        "holder": request.holder,
        "ask": request.ask.to_json(),
        "size": request.ask.size(),
        "state": request.state.value,
        "submitted_at": iso(request.submitted_at),
        "seen_at": iso(request.seen_at),
        "position": place,
        "reasons": list(request.reasons),
        "starts_at": maybe(request.starts_at),
        "preemptions": request.preemptions,
        "note": request.note,
        "end": request.end,
        "ended_at": maybe(request.ended_at),
        "lease": lease,
    }


def lease_json(lease: Lease, request: Request | None, viewer: str, ttl_s: float) -> Json:
    """``request`` is None only for a lease whose request is no longer kept."""
    holder, ask = (request.holder, request.ask) if request else ("", None)
    notice = lease.notice
    live = lease.state is not LeaseState.ENDED
    return {
        "id": lease.id,
        "request_id": lease.request_id,
        "key": request.key if request else "",
        "holder": holder,
        "team": ask.team if ask else "",
        "priority": ask.priority if ask else 1,
        "preemptible": ask.preemptible if ask else True,
        "state": lease.state.value,
        "grants": [grant_json(grant) for grant in lease.grants],
        "granted_at": iso(lease.granted_at),
        "expires_at": iso(lease.expires_at),
        "ttl_s": (ask.ttl_s if ask else None) or ttl_s,
        "ends_by": maybe(lease.ends_by),
        "saved_at": maybe(lease.saved_at),
        "peak_mib": lease.peak_mib,
        "lent_by": lease.lent_by,
        "notice": _notice(notice) if notice else None,
        "end": lease.end,
        "ended_at": maybe(lease.ended_at),
        "token": lease.token if live and viewer and viewer == holder else None,
    }


def _notice(notice: Notice) -> Json:
    return {"kind": notice.kind, "reason": notice.reason, "at": iso(notice.at), "deadline": iso(notice.deadline)}


def grant_json(grant: Grant) -> Json:
    return {**vars(grant), "uuids": list(grant.uuids), "indexes": list(grant.indexes)}
