"""What the pool knows: nodes with their devices, requests, leases, quotas. All times are seconds since the epoch, by the server's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from include.pool.ask import Ask

HOST_LABEL = "kubernetes.io/hostname"
"""By Kubernetes' own label of a node a machine is known that two reporters tell of."""
OVERUSED = "overused"
MOVED = "moved"
"""The kind of the notice for a share that uses more than its grant: the one that no new turn follows."""
RECUT_LABEL = "updraft.io/mig-recut"
"""A node that bears it, as ``true``, has its GPUs cut anew into MIG instances when the pool asks for it."""


@dataclass(frozen=True)
class Process:
    """A process on a device. ``lease`` is the id of the lease it says it belongs to ("" if none): not believed unless that lease lives.

    ``memory_mib`` is None where the driver doesn't tell how much it has (in a container, on Windows' display model, on Jetson).
    """

    pid: int
    name: str
    memory_mib: int | None
    lease: str = ""


@dataclass(frozen=True)
class Device:
    """A GPU, or a MIG instance of one (``mig`` its profile, ``parent`` the GPU's uuid, ``first_slice`` the first of the eight memory slices
    that it takes, 1 to 8; 0 where that isn't known). A GPU in MIG mode isn't listed beside them.

    ``island`` names the GPUs of its node that are linked to each other by NVLink ("": to none, or not known), ``numa`` the NUMA node that
    its slot belongs to (-1: not known). ``sharing`` is the isolation that its owner has declared acceptable for shares of it: "" (none:
    only whole), "time-slice" or "mps". ``used_mib`` is what the device reports, drivers and foreign processes included; ``reserved_mib``
    what nobody can have. ``failed`` says why it must not be used (an Xid error, fallen off the bus), "" if it may. ``unknown`` names what
    its driver doesn't tell of model, memory and processes; a memory that isn't known is 0: then only the whole device can be had.
    ``readings`` is for people: utilisation_pct, temperature_c, power_w, power_limit_w, sm_clock_mhz, memory_clock_mhz, ecc_errors, ...
    where readable."""

    uuid: str
    index: int
    model: str
    memory_mib: int
    sharing: str = ""
    mig: str = ""
    parent: str = ""
    first_slice: int = 0
    island: str = ""
    numa: int = -1
    used_mib: int = 0
    reserved_mib: int = 0
    failed: str = ""
    unknown: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    readings: Mapping[str, float] = field(default_factory=dict)


class BurstState(StrEnum):
    """What a machine that is taken by the hour does, as its agent sees it."""

    OFF = "off"
    BOOTING = "booting"
    ON = "on"
    ENDING = "ending"


@dataclass(frozen=True)
class BurstOffer:
    """What an agent says of a machine that is taken by the hour, from a cloud or a partner, and given back.

    ``price_per_hour`` is in the currency of all prices here, ``boot_s`` how long it takes from being asked for until work can start.
    ``spot``: its provider may take it back; then ``notice_s`` are the seconds that are left (None: it does not). ``failed`` says why the
    last try to boot or to end it failed."""

    price_per_hour: float
    boot_s: float
    spot: bool = False
    state: BurstState = BurstState.OFF
    notice_s: float | None = None
    failed: str = ""

    def refuses(self, ask: Ask) -> str:
        """Return why the ask must not run there, "" if it may."""
        if ask.endless:
            return "it has no end, and a node that costs by the hour could never be given back"
        if not ask.preemptible and self.spot:
            return "it can't be preempted, and the node's provider may take it back"
        if not ask.preemptible and ask.duration_s is None:
            return "it can't be preempted and doesn't say how long it takes, so that no budget could be kept"
        return ""


@dataclass(frozen=True)
class Burst:
    """What the pool knows of a machine that is taken by the hour.

    ``wanted``: it shall be on, since ``wanted_at``. ``paid_since`` is when it began to cost (None: it costs nothing now), ``paid`` the
    periods before, as far as they reach into the last day. ``idle_since``: nobody holds it or waits for it since then. ``closing`` says why
    nothing new is placed on it and its work has to stop. After a failure it is left alone until ``paused_until``. ``removed``: an
    administrator has; only what it cost is still known.
    """

    offer: BurstOffer
    wanted: bool = False
    wanted_at: float = 0.0
    paid_since: float | None = None
    paid: tuple[tuple[float, float], ...] = ()
    idle_since: float | None = None
    closing: str = ""
    paused_until: float = 0.0
    removed: bool = False

    @property
    def serves(self) -> bool:
        return self.wanted and not self.closing and self.offer.state is BurstState.ON

    @property
    def coming(self) -> bool:
        """Whether it has been asked for and is not there yet."""
        return self.wanted and not self.closing and self.offer.state is not BurstState.ON


@dataclass(frozen=True)
class NodeReport:
    """A machine as an inventory adapter (``include/inventory``) sees it at one moment: what an agent reports of it. ``burst`` where it is
    taken by the hour; while it is off, ``devices`` are those that it will have."""

    name: str
    labels: Mapping[str, str]
    devices: tuple[Device, ...]
    burst: BurstOffer | None = None


@dataclass(frozen=True)
class GpuCut:
    """What the pool has asked a node's agent to do to one GPU (``parent``): destroy instances, by uuid, then create some, by profile and
    first memory slice (1 to 8).

    Until ``until`` those to be destroyed are offered to nobody. If it isn't done by then it has ``failed``, and until then nothing more is
    asked of that GPU.
    """

    parent: str
    destroy: tuple[str, ...]
    create: tuple[tuple[str, int], ...]
    request_id: str
    until: float
    failed: bool = False


@dataclass
class Node:
    """A machine as its reporter last told it. ``source`` is nvml, kubernetes, burst or declared; only ``declared`` is simulated.

    ``cordoned`` is a person's word (with the reason), ``lost`` the pool's, when no report has come for long.
    """

    name: str
    reporter: str
    source: str
    labels: Mapping[str, str]
    devices: tuple[Device, ...]
    reported_at: float
    sequence: int
    clock_skew_s: float = 0.0
    cordoned: str = ""
    lost: bool = False
    cuts: tuple[GpuCut, ...] = ()
    burst: Burst | None = None

    @property
    def simulated(self) -> bool:
        return self.source == "declared"

    @property
    def in_service(self) -> bool:
        """Whether anything new may be placed on it."""
        return not self.lost and not self.cordoned and (self.burst is None or self.burst.serves)


class RequestState(StrEnum):
    WAITING = "WAITING"
    GRANTED = "GRANTED"
    ENDED = "ENDED"


@dataclass
class Request:
    """Someone's wish. ``key`` is the asker's own name for it, by which it may ask again without asking twice; ``holder`` the user.

    ``waiting_since`` is what ageing counts from: ``submitted_at``, moved on by all the time that it held leases which were taken from
    it. So what it has waited is never lost, and what it has had doesn't count as waiting. ``reasons`` say why it waits, ``starts_at``
    is the pool's estimate (None: unknown). ``end`` says how it ended: released, cancelled, expired, replaced.
    """

    id: str
    key: str
    holder: str
    ask: Ask
    state: RequestState
    submitted_at: float
    seen_at: float
    waiting_since: float
    reasons: tuple[str, ...] = ()
    starts_at: float | None = None
    lease_id: str = ""
    preemptions: int = 0
    note: str = ""
    end: str = ""
    ended_at: float | None = None


class LeaseState(StrEnum):
    ACTIVE = "ACTIVE"
    NOTICED = "NOTICED"
    """Told to stop by ``notice.deadline``; still holds its devices."""
    ENDED = "ENDED"


@dataclass(frozen=True)
class Grant:
    """Devices of one node, in rank order within the lease; ``milli`` of each device (1000: whole)."""

    node: str
    uuids: tuple[str, ...]
    indexes: tuple[int, ...]
    model: str
    milli: int
    memory_mib: int
    """Memory granted on each device."""


@dataclass(frozen=True)
class Notice:
    """Why a lease must end, and by when. ``kind``: preempted, reclaimed, overdue, overused, spot, budget, moved, lost, forced."""

    kind: str
    reason: str
    at: float
    deadline: float
    request_id: str = ""
    """The request it makes room for."""


@dataclass
class Lease:
    """A time-limited grant. ``token`` is the fencing token: it grows with every grant and every takeover, an older one is refused.

    ``expires_at`` moves with every heartbeat. A lease on devices that are reserved for somebody who stood before it is lent: ``lent_by`` is
    that request, ``ends_by`` when it is expected to take them. Both go when that request no longer waits. ``saved_at`` is when its holder
    last said that it had saved its work (None: never). ``peak_mib`` is the most memory that it was seen to use on one of its devices (None:
    its use isn't known).
    ``end``: released, expired, preempted, reclaimed, overdue, overused, spot, budget, moved, lost, forced, replaced.
    """

    id: str
    request_id: str
    token: int
    state: LeaseState
    grants: tuple[Grant, ...]
    granted_at: float
    expires_at: float
    seen_at: float
    ends_by: float | None = None
    lent_by: str = ""
    notice: Notice | None = None
    end: str = ""
    ended_at: float | None = None
    saved_at: float | None = None
    peak_mib: int | None = None


@dataclass(frozen=True)
class Quota:
    """A team's share in GPUs. ``guaranteed`` is there whenever the team asks (who borrowed it gives it back); ``limit`` is never passed
    (None: no limit); ``weight`` divides what is contended inside one priority."""

    team: str
    guaranteed: float = 0.0
    limit: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Event:
    """Something that happened, for people and for the record. ``kind``: submitted, granted, noticed, ended, requeued, node_lost, ..."""

    at: float
    kind: str
    text: str
    node: str = ""
    request_id: str = ""
    lease_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """The pool's settings (section ``gpu_pool`` of airflow.cfg); seconds."""

    lease_ttl_s: float = 60.0
    """A lease whose holder is silent for so long has expired."""
    waiting_ttl_s: float = 120.0
    """The same for a request that waits."""
    notice_s: float = 30.0
    """Time between a notice and force, unless the request names its own grace."""
    longest_grace_s: float = 300.0
    """No request's own grace is longer than this: whoever makes room for others must do it in time."""
    return_s: float = 60.0
    """After an outage of the pool's own so long nobody is taken for silent: holders, nodes and those who wait come back one by one."""
    ageing_s: float = 600.0
    """Waiting this long lifts a request by one priority."""
    node_silent_s: float = 30.0
    """A node that has not reported for so long gets no new leases."""
    node_grace_s: float = 120.0
    """After so long its leases are lost."""
    default_duration_s: float = 3600.0
    """Assumed of a lease that names none. One that runs longer is taken to have no end: nothing is kept free beside it any more."""
    fair_half_life_hours: float = 24.0
    """What a team has used counts for half as much after so many hours when its share of what is contended is looked at. 0: only what it
    holds now counts."""
    fair_delay_s: float = 3600.0
    """At most so much later counts the waiting of a team that has used more than its share of late."""
    overuse: str = "show"
    """What becomes of a share that uses more memory than it was granted: ``show`` marks it, ``end`` has it stop, for good."""
    burst_budget_per_day: float = 0.0
    """What nodes that are taken by the hour may cost in any 24 hours, in the currency of their prices. 0: none is ever taken."""
    burst_after_s: float = 600.0
    """Such a node is taken for a request that would otherwise wait longer than this."""
    burst_idle_s: float = 120.0
    """It is given back after nobody has used it, or waited for it, for so long."""
    burst_move_s: float = 60.0
    """Work there that has saved at most so long ago is moved to a node that is there for good, once one has room. 0: none is."""
    policy: str = "updraft"
    """How places are scored: updraft, pack or spread."""
