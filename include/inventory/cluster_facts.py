"""What NVML says of a cluster's GPUs: each GPU node's agent keeps it in a ConfigMap, the cluster's agent adds it to Kubernetes' own count.

Kubernetes counts GPUs and gives them to pods; which GPU a pod has got, how much memory it has, how warm it is and whether it has failed,
only its node knows. The pool goes on leasing what Kubernetes counts: a fact describes a device of the count, it makes none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.errors import ComponentError
from include.inventory.kubernetes_node import UNKNOWN_MIB
from include.kubernetes.client import TIMEOUT_S, ApiRefused, ask
from include.pool.state import Device, NodeReport, Process

LABEL = "updraft.io/gpus"
PREFIX = "updraft-gpus-"
KEY = "devices"
MANAGER = "updraft-node-agent"
SILENT_S = 60.0
"""Facts that have not changed for so long are no longer believed: every report changes them."""


@dataclass(frozen=True)
class Fact:
    """A physical device of a node, and the pods that the kubelet has given it to."""

    device: Device
    pods: tuple[str, ...] = ()


class FactsDoor:
    """Where the agent of a GPU node brings its report: the node's ConfigMap. ``holders``: the kubelet's word of which pod has what."""

    def __init__(self, api: Any, namespace: str, node: str, holders: Callable[[], Mapping[str, tuple[str, ...]]]) -> None:
        self._api, self._namespace, self._node, self._holders = api, namespace, node, holders

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """Nothing comes back from there. Raises ComponentError when the kubelet or the API server gives no answer, or refuses."""
        held = self._holders()
        devices = [device | {"pods": held.get(device["uuid"], ())} for node in body["nodes"] for device in node["devices"]]
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PREFIX + self._node, "labels": {LABEL: self._node}},
            "data": {KEY: json.dumps(devices), "clock": str(body["clock"])},
        }
        _asked(
            lambda: self._api.patch_namespaced_config_map(
                PREFIX + self._node,
                self._namespace,
                document,
                field_manager=MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=TIMEOUT_S,
            )
        )
        return {}


class Facts:
    """The cluster agent's side: all nodes' facts that are fresh. None where nobody keeps any, or it may not read them."""

    def __init__(self, api: Any, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._namespace, self._clock = api, namespace, clock
        self._seen: dict[str, tuple[str, float]] = {}

    def read(self) -> dict[str, list[Fact]]:
        """Node → its devices. Raises ComponentError when the API server gives no answer."""
        answer = _asked(
            lambda: self._api.list_namespaced_config_map(
                self._namespace, label_selector=LABEL, _preload_content=False, _request_timeout=TIMEOUT_S
            ),
            nothing=(403, 404),
        )
        found, now = {}, self._clock()
        for item in json.loads(answer.data)["items"] if answer else ():
            node, data = item["metadata"]["labels"][LABEL], item.get("data") or {}
            said, since = self._seen.get(node, ("", now))
            if said != data.get("clock", ""):
                said, since = data.get("clock", ""), now
            self._seen[node] = said, since
            if now - since <= SILENT_S:
                found[node] = parsed(data.get(KEY, "[]"))
        return found


def parsed(text: str) -> list[Fact]:
    """The devices of a ConfigMap, in the driver's order; none where it holds no such list."""
    try:
        return sorted((_fact(dict(entry)) for entry in json.loads(text)), key=lambda fact: fact.device.index)
    except (ValueError, TypeError, KeyError):
        return []


def _fact(entry: dict[str, Any]) -> Fact:
    pods = tuple(map(str, entry.pop("pods", ())))
    processes = tuple(Process(**process) for process in entry.pop("processes", ()))
    unknown = tuple(map(str, entry.pop("unknown", ())))
    return Fact(Device(**entry, unknown=unknown, processes=processes), pods)


def described(report: NodeReport, facts: Sequence[Fact]) -> NodeReport:
    """The node as Kubernetes counts it, each device with what is known of the one its pods have got; free ones in the driver's order."""
    rest = list(facts)
    pairs: dict[str, Fact] = {}
    for wanted in (_same_pods, _both_free):
        for device in report.devices:
            match = next(
                (fact for fact in rest if device.uuid not in pairs and fact.device.mig == device.mig and wanted(device, fact)), None
            )
            if match is not None:
                rest.remove(match)
                pairs[device.uuid] = match
    return replace(report, devices=tuple(_with(device, pairs.get(device.uuid)) for device in report.devices))


def _same_pods(device: Device, fact: Fact) -> bool:
    return any(process.name in fact.pods for process in device.processes)


def _both_free(device: Device, fact: Fact) -> bool:
    return not device.processes and not fact.pods


def _with(device: Device, fact: Fact | None) -> Device:
    """What Kubernetes says comes first, but for failures: the device plugin may not have noticed one yet."""
    if fact is None:
        return device
    told = fact.device
    memory_mib, processes, used_mib = device.memory_mib, device.processes, device.used_mib
    if memory_mib == UNKNOWN_MIB:
        memory_mib = told.memory_mib
        processes = tuple(replace(process, memory_mib=memory_mib // len(processes)) for process in processes)
        used_mib = sum(process.memory_mib or 0 for process in processes)
    if not processes and told.processes:  # no pod's: programs of the machine itself
        processes, used_mib = tuple(replace(process, lease="") for process in told.processes), told.used_mib
    return replace(
        device,
        model=told.model if device.model == "unknown" else device.model,
        memory_mib=memory_mib,
        used_mib=min(used_mib, memory_mib),
        failed=device.failed or told.failed,
        processes=processes,
        readings=told.readings,
    )


def _asked(call: Callable[[], Any], nothing: Sequence[int] = ()) -> Any:
    """The call's answer; None for a refusal with a status of ``nothing``."""
    try:
        return ask(call)
    except ApiRefused as error:
        if error.status in nothing:
            return None
        remedy = "The agent's service account needs create and patch of configmaps in its namespace." if error.status == 403 else ""
        raise ComponentError(f"answered {error.status} {error.reason}.", where="Kubernetes", remedy=remedy) from None
