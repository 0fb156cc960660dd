"""One Kubernetes node and its pods as devices. Pure: API documents in, a report out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.inventory.model_names import known_memory_mib, short_name
from include.pool import mig
from include.pool.state import Device, NodeReport, Process

GPU = "nvidia.com/gpu"
MIG_PREFIX = "nvidia.com/mig-"
LEASE = "updraft.io/lease"
DEVICES = "updraft.io/devices"
TOLERATED = (GPU, "updraft.io/gpu")
"""Taints that our pods tolerate. A node with another one that keeps pods away is shown, and offers nothing new."""
KEEPS_AWAY = ("NoSchedule", "NoExecute")
SHARING = {"time-slicing": "time-slice", "mps": "mps"}
LONGEST_LABEL = 253
UNKNOWN_MIB = 1
"""Memory of a GPU of which nobody says it: no ask for memory fits there, whole GPUs can be had, and a stranger on it is still seen."""


@dataclass(frozen=True)
class Pod:
    """What a pod holds on its node: resource → how many. ``lease`` is "" for a stranger's."""

    uid: str
    name: str
    created: str
    asks: Mapping[str, int]
    lease: str = ""
    devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Pod:
        metadata = document["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        lease = str(labels.get(LEASE) or annotations.get(LEASE) or "")
        return cls(
            uid=metadata["uid"],
            name=f"{metadata['namespace']}/{metadata['name']}",
            created=metadata.get("creationTimestamp") or "",
            asks=_asks(document["spec"]),
            lease=lease,
            devices=tuple(filter(None, (annotations.get(DEVICES) or "").split(","))) if lease else (),
        )


def read_node(
    node: Mapping[str, Any], pods: Sequence[Pod], before: Mapping[str, tuple[str, ...]], held: dict[str, tuple[str, ...]]
) -> NodeReport:
    """The node's devices with their holders. ``before``: pod uid → devices held at the last reading; ``held`` is filled for the next."""
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    capacity, allocatable = node["status"].get("capacity") or {}, node["status"].get("allocatable") or {}
    devices: list[Device] = []
    for resource in sorted(entry for entry in capacity if entry == GPU or entry.startswith(MIG_PREFIX)):
        kind = _Kind(name, resource, labels, len(devices))
        made = kind.devices(int(capacity[resource]))
        made = _hold(made, kind, [pod for pod in pods if resource in pod.asks], before, held)
        sick = (int(capacity[resource]) - int(allocatable.get(resource, 0))) // kind.replicas
        devices += _fail(made, sick, kind)
    reason = _closed(node)
    if reason:
        devices = [_close(device, reason) for device in devices]
    return NodeReport(name, _labels(node), tuple(devices))


class _Kind:
    """One resource of a node: whole GPUs (perhaps offered several times over, ``replicas``) or MIG instances of one profile."""

    def __init__(self, node: str, resource: str, labels: Mapping[str, str], first: int) -> None:
        self.node, self.resource, self.first = node, resource, first
        product = labels.get(f"{resource}.product") or labels.get(f"{GPU}.product") or ""
        whole = _number(labels, f"{GPU}.memory")
        self.mig = mig.canonical(resource.removeprefix(MIG_PREFIX) if resource != GPU else product.partition("-MIG-")[2])
        self.model = short_name(product, 0 if self.mig else whole) if product else "unknown"
        self.replicas = 1 if self.mig else max(_number(labels, f"{GPU}.replicas"), 1)
        strategy = labels.get(f"{GPU}.sharing-strategy", "time-slicing" if self.replicas > 1 else "")
        self.sharing = SHARING.get(strategy, "") if self.replicas > 1 else ""
        said = _number(labels, f"{resource}.memory") or (0 if self.mig else whole)
        self.memory_mib = said or (mig.memory_mib(self.mig) if self.mig else known_memory_mib(self.model)) or UNKNOWN_MIB

    def devices(self, offered: int) -> list[Device]:
        stem = f"k8s/{self.node}/" + (f"mig-{mig.resource(self.mig)}" if self.resource != GPU else "gpu")
        count = -(-offered // self.replicas)
        return [
            Device(f"{stem}-{number}", self.first + number, self.model, self.memory_mib, sharing=self.sharing, mig=self.mig)
            for number in range(count)
        ]


def _hold(
    devices: list[Device], kind: _Kind, pods: Sequence[Pod], before: Mapping[str, tuple[str, ...]], held: dict[str, tuple[str, ...]]
) -> list[Device]:
    """Each pod on its devices: ours where their annotation says, strangers where they were, else on the highest numbers that are free."""
    free = {device.uuid: kind.replicas for device in devices}
    share = kind.memory_mib // kind.replicas
    found: dict[str, list[Process]] = {device.uuid: [] for device in devices}

    for pod in sorted(pods, key=lambda pod: (not pod.lease, pod.uid not in before, pod.created, pod.uid)):
        known = pod.devices or before.get(pod.uid, ())
        order = [*known, *(list(free) if pod.lease else reversed(list(free)))]
        mine: list[str] = []
        for uuid in order * kind.replicas:
            if len(mine) < pod.asks[kind.resource] and free.get(uuid, 0) > 0:
                free[uuid] -= 1
                mine.append(uuid)
        for uuid in dict.fromkeys(mine):
            found[uuid].append(Process(0, pod.name, max(share * mine.count(uuid), 1), pod.lease))
        held[pod.uid] = (*held.get(pod.uid, ()), *mine)
    return [_used(device, found[device.uuid]) for device in devices]


def _used(device: Device, processes: Sequence[Process]) -> Device:
    used_mib = sum(process.memory_mib or 0 for process in processes)
    return replace(device, processes=tuple(processes), used_mib=min(used_mib, device.memory_mib))


def _fail(devices: list[Device], sick: int, kind: _Kind) -> list[Device]:
    """The device plugin says how many are unhealthy, not which: those that nobody holds, from the highest number down."""
    idle = [device.uuid for device in reversed(devices) if not device.processes][: max(sick, 0)]
    said = f"the device plugin calls {sick} of {len(devices)} {kind.resource} unhealthy"
    return [replace(device, failed=said) if device.uuid in idle else device for device in devices]


def _close(device: Device, reason: str) -> Device:
    """Nothing new is offered on it; what runs there goes on."""
    rest = device.memory_mib - sum(process.memory_mib or 0 for process in device.processes)
    return _used(device, [*device.processes, Process(0, reason, rest)]) if rest > 0 else device


def _closed(node: Mapping[str, Any]) -> str:
    spec = node["spec"]
    if spec.get("unschedulable"):
        return "kubectl cordon"
    away = [taint for taint in spec.get("taints") or () if taint.get("effect") in KEEPS_AWAY and taint["key"] not in TOLERATED]
    return f"taint {away[0]['key']}:{away[0]['effect']}" if away else ""


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    """The node's own, and ``taint/<key>`` for each taint. One with a longer key than the pool takes is left out."""
    taints = {f"taint/{taint['key']}": f"{taint.get('value', '')}:{taint.get('effect', '')}" for taint in node["spec"].get("taints") or ()}
    found = {**(node["metadata"].get("labels") or {}), **taints}
    return {key: value for key, value in found.items() if len(key) <= LONGEST_LABEL}


def _asks(spec: Mapping[str, Any]) -> dict[str, int]:
    """What a pod's containers ask for together, or its largest init container if that is more (Kubernetes' own rule)."""
    together: dict[str, int] = {}
    for container in spec.get("containers") or ():
        for name, count in _gpus(container).items():
            together[name] = together.get(name, 0) + count
    for container in spec.get("initContainers") or ():
        for name, count in _gpus(container).items():
            together[name] = max(together.get(name, 0), count)
    return {name: count for name, count in together.items() if count > 0}


def _gpus(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: int(count) for name, count in asked.items() if name == GPU or name.startswith(MIG_PREFIX)}


def _number(labels: Mapping[str, str], name: str) -> int:
    value = labels.get(name, "")
    return int(value) if value.isdigit() else 0
