"""A lease in the terms of what runs the work: a process's environment, Docker's device requests, Kubernetes' limits and place. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.errors import InputError
from include.placement.node import FULL
from include.pool import mig
from include.pool.state import Grant

LEASE = "UPDRAFT_GPU_LEASE"
MEMORY = "UPDRAFT_GPU_MEMORY_MIB"
DEVICES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""These name a process's devices, by UUID. A container sees those that it is given, and no others: there they mean nothing."""
GPU = "nvidia.com/gpu"
POD_LEASE, POD_DEVICES = "updraft.io/lease", "updraft.io/devices"
"""By these the inventory knows a pod of ours, and what it holds (``include/inventory/kubernetes_node.py``)."""
NODE_LABEL = "updraft.io/node"
"""Every node carries its own name under it, for work that must run on one machine."""
TOLERATED = (GPU, "updraft.io/gpu")
PRIORITY_CLASS = "updraft"
_PROFILE = re.compile(rf" ({mig.PROFILE})$")


def grant_of(grants: Sequence[Grant], node: str = "") -> Grant:
    """The grant of one node; without a name, of the only one. Raises InputError."""
    found = [grant for grant in grants if not node or grant.node == node]
    if len(found) != 1:
        there = ", ".join(grant.node for grant in grants)
        raise InputError(
            f"the lease has {len(found)} grants there.", where=f"node {node or '(none named)'}", remedy=f"Name one of: {there}."
        )
    return found[0]


def environment(lease_id: str, grant: Grant) -> dict[str, str]:
    """What a process of the holder needs: its devices by UUID (GPUs or MIG instances), how much memory of each is its own, and its
    lease's id, by which the agent knows it from a stranger.

    For a share, CUDA's limits of MPS as well: they have no effect where no MPS server runs.
    """
    uuids = ",".join(grant.uuids)
    found = {
        **dict.fromkeys(DEVICES, uuids),
        LEASE: lease_id,
        MEMORY: str(grant.memory_mib),
    }
    if grant.milli < FULL:
        found["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = f"{grant.milli / 10:g}"
        found["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = ",".join(f"{n}={grant.memory_mib}M" for n in range(len(grant.uuids)))
    return found


def device_requests(uuids: Sequence[str]) -> list[dict[str, Any]]:
    """Keyword arguments of ``docker.types.DeviceRequest``, one a list entry. The container gets :func:`environment` too, without the two
    ``*_VISIBLE_DEVICES``: inside, it sees its own devices only."""
    return [{"driver": "nvidia", "device_ids": list(uuids), "capabilities": [["gpu"]]}]


@dataclass(frozen=True)
class KubernetesPlace:
    """What a pod of the holder must carry; the names are those of its API."""

    limits: dict[str, str]
    node_selector: dict[str, str]
    tolerations: tuple[dict[str, str], ...]
    priority_class_name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    env: dict[str, str]
    nodes: tuple[str, ...] = ()
    """Of a gang: one pod on each of them."""


def kubernetes_gang(lease_id: str, grants: Sequence[Grant], priority: int) -> KubernetesPlace:
    """What each pod of a gang must carry: the limits are those of one node, where every node gives as much."""
    each = kubernetes(lease_id, grants[0], priority)
    return replace(
        each,
        node_selector={},
        annotations={POD_DEVICES: ",".join(uuid for grant in grants for uuid in grant.uuids)},
        env={LEASE: lease_id, MEMORY: str(min(grant.memory_mib for grant in grants))},
        nodes=tuple(sorted(grant.node.rpartition("/")[2] for grant in grants)),
    )


def kubernetes(lease_id: str, grant: Grant, priority: int) -> KubernetesPlace:
    """``priority`` (1 to 10) names the PriorityClass ``updraft-<priority>``.

    The device plugin picks the device: the pool's word is how many of which resource on which node. A share is one replica of a GPU.
    """
    profile = _PROFILE.search(grant.model)
    resource = f"nvidia.com/mig-{mig.resource(profile[1])}" if profile and _by_profile(grant) else GPU
    return KubernetesPlace(
        limits={resource: str(len(grant.uuids))},
        node_selector={"kubernetes.io/hostname": grant.node.rpartition("/")[2]},
        tolerations=tuple({"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in TOLERATED),
        priority_class_name=f"{PRIORITY_CLASS}-{priority}",
        labels={POD_LEASE: lease_id},
        annotations={POD_DEVICES: ",".join(grant.uuids)},
        env={LEASE: lease_id, MEMORY: str(grant.memory_mib)},
    )


def _by_profile(grant: Grant) -> bool:
    """Whether the node offers MIG instances by their profile (the device plugin's strategy ``mixed``), not as plain GPUs (``single``)."""
    return any("/mig-" in uuid for uuid in grant.uuids)
