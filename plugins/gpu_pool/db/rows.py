"""The pool's objects as rows of its tables, and back: what is read is equal to what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from include.cost.gpu_use import GpuUse
from include.inventory.report import device_json, device_of
from include.pool.ask import Ask
from include.pool.state import (
    Burst,
    BurstOffer,
    BurstState,
    Event,
    GpuCut,
    Grant,
    Lease,
    LeaseState,
    Node,
    Notice,
    Quota,
    Request,
    RequestState,
)

Row = dict[str, Any]


def node_row(node: Node) -> Row:
    plain = ("name", "reporter", "source", "reported_at", "sequence", "clock_skew_s", "cordoned", "lost")
    row = {field: getattr(node, field) for field in plain}
    return row | {
        "labels": dict(node.labels),
        "devices": [device_json(device) for device in node.devices],
        "cuts": [_cut_row(cut) for cut in node.cuts],
        "burst": _burst_row(node.burst) if node.burst else None,
    }


def node(row: Mapping[str, Any]) -> Node:
    cuts = tuple(GpuCut(**{**cut, "destroy": tuple(cut["destroy"]), "create": tuple(map(tuple, cut["create"]))}) for cut in row["cuts"])
    burst = _burst(row["burst"]) if row["burst"] else None
    return Node(**{**row, "devices": tuple(device_of(entry) for entry in row["devices"]), "cuts": cuts, "burst": burst})


def _burst_row(burst: Burst) -> Row:
    offer = dict(vars(burst.offer)) | {"state": burst.offer.state.value}
    return dict(vars(burst)) | {"offer": offer, "paid": [list(period) for period in burst.paid]}


def _burst(row: Mapping[str, Any]) -> Burst:
    offer = BurstOffer(**{**row["offer"], "state": BurstState(row["offer"]["state"])})
    return Burst(**{**row, "offer": offer, "paid": tuple((begun, ended) for begun, ended in row["paid"])})


def _cut_row(cut: GpuCut) -> Row:
    return dict(vars(cut)) | {"destroy": list(cut.destroy), "create": [list(place) for place in cut.create]}


def request_row(request: Request) -> Row:
    row = dict(vars(request))
    return row | {"ask": _compact(request.ask), "team": request.ask.team, "state": request.state.value, "reasons": list(request.reasons)}


def request(row: Mapping[str, Any]) -> Request:
    fields = {name: value for name, value in row.items() if name != "team"}
    return Request(**fields | {"ask": Ask.from_json(row["ask"]), "state": RequestState(row["state"]), "reasons": tuple(row["reasons"])})


def lease_row(lease: Lease) -> Row:
    row = dict(vars(lease))
    grants = [dict(vars(grant)) for grant in lease.grants]
    return row | {"state": lease.state.value, "grants": grants, "notice": dict(vars(lease.notice)) if lease.notice else None}


def lease(row: Mapping[str, Any]) -> Lease:
    grants = tuple(Grant(**{**grant, "uuids": tuple(grant["uuids"]), "indexes": tuple(grant["indexes"])}) for grant in row["grants"])
    notice = Notice(**row["notice"]) if row["notice"] else None
    return Lease(**{**row, "state": LeaseState(row["state"]), "grants": grants, "notice": notice})


def use_row(use: GpuUse) -> Row:
    fields = {name: value for name, value in vars(use).items() if name not in ("began", "ended")}
    return fields | {"began_at": use.began, "ended_at": use.ended}


def use(row: Mapping[str, Any]) -> GpuUse:
    fields = {name: value for name, value in row.items() if name not in ("began_at", "ended_at")}
    return GpuUse(**fields, began=row["began_at"], ended=row["ended_at"])


def quota_row(quota: Quota) -> Row:
    return asdict(quota)


def quota(row: Mapping[str, Any]) -> Quota:
    return Quota(**row)


def event_row(event: Event) -> Row:
    return dict(vars(event)) | {"body": dict(event.body)}


def _compact(ask: Ask) -> Row:
    """What differs from nothing said: most asks are two or three fields."""
    return {name: value for name, value in ask.to_json().items() if value or name == "preemptible"}
