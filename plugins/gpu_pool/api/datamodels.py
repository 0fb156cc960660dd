"""The bodies of the GPU pool's REST API. What they don't know they refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api_shared.problems import Problem
from include.pool.ask import CLEAN, AskForm
from include.pool.state import BurstOffer, BurstState, Device, LeaseState, NodeReport, Process, RequestState

LINE = r"^[^\x00-\x1f\x7f]*$"
"""No control characters: databases and terminals take them badly."""
LONG = 2**53
"""Integers over this change on their way through JavaScript."""
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
Key = Annotated[str, Field(min_length=1, max_length=512, pattern=LINE)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,316}$")]
Reason = Annotated[str, Field(max_length=500, pattern=CLEAN)]
Label = Annotated[str, Field(max_length=253, pattern=CLEAN)]
Short = Annotated[str, Field(max_length=128, pattern=LINE)]
Mib = Annotated[int, Field(ge=0, le=LONG)]
Gpus = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RequestBody(AskForm):
    """A request, under the ``key`` by which who asks knows it again."""

    key: Key


class TokenBody(Body):
    token: Annotated[int, Field(ge=0, le=LONG)]


class HeartbeatBody(TokenBody):
    """``saved_s_ago``: so long ago the holder saved its work, a whole checkpoint; only when that is news."""

    saved_s_ago: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


class ReleaseBody(TokenBody):
    requeue: bool = False


class ReasonBody(Body):
    reason: Reason = ""


class QuotaBody(Body):
    guaranteed: Gpus = 0.0
    limit: Gpus | None = None
    weight: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1.0


class AgentBody(Body):
    cluster: bool = False
    days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 365.0


class ProcessBody(Body):
    pid: Annotated[int, Field(ge=0, le=LONG)]
    name: Annotated[str, Field(max_length=512, pattern=CLEAN)] = ""
    memory_mib: Mib | None = 0
    lease: Annotated[str, Field(max_length=64, pattern=LINE)] = ""


class DeviceBody(Body):
    uuid: Annotated[str, Field(min_length=1, max_length=400, pattern=LINE)]
    index: Annotated[int, Field(ge=0, le=100_000)]
    model: Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]
    memory_mib: Mib
    sharing: Literal["", "time-slice", "mps"] = ""
    mig: Annotated[str, Field(max_length=32, pattern=LINE)] = ""
    parent: Annotated[str, Field(max_length=400, pattern=LINE)] = ""
    first_slice: Annotated[int, Field(ge=0, le=8)] = 0
    island: Short = ""
    numa: Annotated[int, Field(ge=-1, le=4095)] = -1
    used_mib: Mib = 0
    reserved_mib: Mib = 0
    failed: Reason = ""
    unknown: Annotated[list[Short], Field(max_length=8)] = []
    processes: Annotated[list[ProcessBody], Field(max_length=4096)] = []
    readings: Annotated[dict[Short, Number], Field(max_length=64)] = {}

    def device(self) -> Device:
        fields = self.model_dump()
        processes = tuple(Process(**process) for process in fields["processes"])
        return Device(**fields | {"unknown": tuple(self.unknown), "processes": processes})


class BurstBody(Body):
    """Of a machine that is taken by the hour: ``notice_s`` are the seconds after which its provider takes it back, ``failed`` why the last
    try to boot or to end it failed."""

    price_per_hour: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
    boot_s: Seconds
    spot: bool = False
    state: Literal["off", "booting", "on", "ending"] = "off"
    notice_s: Seconds | None = None
    failed: Reason = ""

    def offer(self) -> BurstOffer:
        return BurstOffer(**self.model_dump() | {"state": BurstState(self.state)})


class NodeBody(Body):
    name: NodeName
    labels: Annotated[dict[Label, Annotated[str, Field(max_length=4096, pattern=CLEAN)]], Field(max_length=512)] = {}
    devices: Annotated[list[DeviceBody], Field(max_length=1024)]
    burst: BurstBody | None = None

    def report(self) -> NodeReport:
        devices = tuple(device.device() for device in self.devices)
        return NodeReport(self.name, self.labels, devices, self.burst.offer() if self.burst else None)


class ReportBody(Body):
    """All that one reporter sees. ``sequence`` grows with each report, ``clock`` is the reporter's own (seconds since the epoch)."""

    source: Literal["nvml", "kubernetes", "burst", "declared"]
    sequence: Annotated[int, Field(ge=0, le=2**62)]
    clock: Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
    nodes: Annotated[list[NodeBody], Field(max_length=5000)]


class Row(BaseModel):
    """Answers: described here, made by ``gpu_pool.view``."""


class AskRow(Row):
    """What a request asks for, whole."""

    gpus: int
    fraction: float
    memory_mib: int
    mig: str
    nodes: int
    models: list[str]
    labels: dict[str, str]
    priority: int
    team: str
    preemptible: bool
    duration_s: float | None
    endless: bool
    grace_s: float | None
    ttl_s: float | None
    prefer: dict[str, str]


class GrantRow(Row):
    node: str
    uuids: list[str]
    indexes: list[int]
    model: str
    milli: int
    memory_mib: int


class NoticeRow(Row):
    kind: str
    reason: str
    at: datetime
    deadline: datetime


class LeaseRow(Row):
    id: str
    request_id: str
    key: str
    holder: str
    team: str
    priority: int
    preemptible: bool
    state: LeaseState
    grants: list[GrantRow]
    granted_at: datetime
    expires_at: datetime
    ttl_s: float
    ends_by: datetime | None
    saved_at: datetime | None
    peak_mib: int | None
    lent_by: str
    notice: NoticeRow | None
    end: str
    ended_at: datetime | None
    token: int | None


class PoolProblem(Problem):
    """A refusal of the pool. ``nearest`` is what could be had instead, ``lease`` the lease that has ended."""

    nearest: AskRow | None = None
    lease: LeaseRow | None = None


class RequestRow(Row):
    id: str
    key: str
    holder: str
    ask: AskRow
    size: str
    state: RequestState
    submitted_at: datetime
    seen_at: datetime
    position: int | None
    reasons: list[str]
    starts_at: datetime | None
    preemptions: int
    note: str
    end: str
    ended_at: datetime | None
    lease: LeaseRow | None


class HoldingRow(Row):
    lease_id: str
    request_id: str
    holder: str
    key: str
    team: str
    priority: int
    milli: int
    overused_mib: int
    state: LeaseState


class ProcessRow(Row):
    pid: int
    name: str
    memory_mib: int | None
    lease: str


class DeviceRow(Row):
    uuid: str
    index: int
    model: str
    memory_mib: int
    sharing: str
    mig: str
    parent: str
    first_slice: int
    island: str
    numa: int
    used_mib: int
    reserved_mib: int
    foreign_mib: int
    leased_milli: int
    free_milli: int
    failed: str
    unknown: list[str]
    readings: dict[str, float]
    processes: list[ProcessRow]
    leases: list[HoldingRow]


class BurstRow(Row):
    """A machine that is taken by the hour. ``wanted``: the pool has asked for it and not given it back; ``closing`` says why its work must
    stop; ``spent`` is what it has cost in the last 24 hours."""

    price_per_hour: float
    boot_s: float
    spot: bool
    state: BurstState
    failed: str
    wanted: bool
    wanted_at: datetime | None
    closing: str
    spent: float


class NodeRow(Row):
    name: str
    source: str
    simulated: bool
    reporter: str
    labels: dict[str, str]
    cordoned: str
    lost: bool
    reported_at: datetime
    clock_skew_s: float
    devices: list[DeviceRow]
    burst: BurstRow | None


class InventoryRow(Row):
    at: datetime
    simulated: bool
    nodes: list[NodeRow]
    burst_budget: float
    burst_spent: float


class PointRow(Row):
    at: datetime
    capacity_milli: int
    leased_milli: int
    foreign_mib: int
    used_mib: int
    memory_mib: int
    utilisation_pct: float | None
    temperature_c: float | None
    power_w: float | None


class HistoryRow(Row):
    node: str
    points: list[PointRow]


class QuotaRow(Row):
    team: str
    guaranteed: float
    limit: float | None
    weight: float
    used: float
    borrowed: float
    declared: bool
    past_gpu_hours: float


class SizeRow(Row):
    work: str
    team: str
    size: str
    leases: int
    granted_mib: int
    peak_mib: int
    proposed_mib: int | None
    proposal: str


class WhatIfRow(Row):
    possible_now: bool
    grants: list[GrantRow]
    preempts: list[LeaseRow]
    starts_at: datetime | None
    reasons: list[str]
    impossible: bool
    nearest: AskRow | None


class EventRow(Row):
    id: int
    at: datetime
    kind: str
    text: str
    node: str
    request_id: str
    lease_id: str


class MeRow(Row):
    name: str
    admin: bool


class AgentRow(Row):
    reporter: str
    cluster: bool
    created_by: str
    created_at: datetime
    expires_at: datetime


class NewAgentRow(AgentRow):
    token: str


class CutRow(Row):
    """A GPU that the agent is to cut anew: instances to destroy, by uuid, then [profile, first memory slice from 1] to create."""

    node: str
    parent: str
    destroy: list[str]
    create: list[tuple[str, int]]


class WantedRow(Row):
    """A machine that is taken by the hour, and whether it shall be on."""

    node: str
    up: bool


class Accepted(Row):
    accepted: bool
    cuts: list[CutRow]
    burst: list[WantedRow]


class Removed(Row):
    removed: bool
