"""The GPUs of a Kubernetes cluster, as its API tells them: what nodes offer, and what pods hold. Needs ``list`` of nodes and pods.

Kubernetes counts devices, it doesn't name them: ``k8s/<node>/gpu-<i>`` is the i-th of a node. A pod of ours carries the label
``updraft.io/lease`` (the lease's id) and the annotation ``updraft.io/devices`` (the devices' names here, with commas between); every other
pod that asks for GPUs is a stranger, given the highest numbers that are free and keeping them as long as it lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import ComponentError
from include.inventory.cluster_facts import Facts, described
from include.inventory.kubernetes_node import GPU, MIG_PREFIX, Pod, read_node
from include.kubernetes.client import ApiRefused, ask_json, configuration
from include.pool import mig
from include.pool.state import GpuCut, NodeReport

MIG_CONFIG = "nvidia.com/mig.config"
"""The label by which the GPU Operator's MIG manager is told what to do to a node (its documentation, "GPU Operator with MIG")."""
PAGE = 500
ENDED = "status.phase!=Succeeded,status.phase!=Failed"


class Kubernetes:
    """By the official client: inside a cluster its service account, elsewhere ``KUBECONFIG`` or ``~/.kube/config``."""

    source = "kubernetes"
    cluster = True

    def __init__(self, facts: str = "") -> None:
        """``facts``: the namespace in which the GPU nodes' agents keep what NVML tells them (cluster_facts.py)."""
        from kubernetes import client

        self._api = client.CoreV1Api(client.ApiClient(configuration()))
        self._facts = Facts(self._api, facts) if facts else None
        self._held: dict[str, tuple[str, ...]] = {}

    def read(self) -> list[NodeReport]:
        """Every node that is ready and offers GPUs. One that isn't ready is left out: the pool then sees it as silent."""
        nodes = [node for node in self._list(self._api.list_node) if _ready(node) and _offers(node)]
        pods: dict[str, list[Pod]] = {node["metadata"]["name"]: [] for node in nodes}
        for document in self._list(self._api.list_pod_for_all_namespaces, field_selector=ENDED) if nodes else []:
            place = document["spec"].get("nodeName")
            if place in pods and (pod := Pod.of(document)).asks:
                pods[place].append(pod)
        held: dict[str, tuple[str, ...]] = {}
        reports = [read_node(node, pods[node["metadata"]["name"]], self._held, held) for node in nodes]
        self._held = held
        known = self._facts.read() if self._facts and reports else {}
        return [described(report, known.get(report.name, ())) for report in reports]

    def cut(self, node: str, cut: GpuCut) -> None:
        """Have the GPU Operator's MIG manager cut all GPUs of a node into one profile: by the label that names its configuration. Needs
        ``patch`` of nodes."""
        profile = mig.resource(cut.create[0][0])
        change = {"metadata": {"labels": {MIG_CONFIG: f"all-{profile}"}}}
        try:
            ask_json(self._api.patch_node, node, change)
        except ApiRefused as error:
            remedy = "The agent's service account needs `patch` of nodes to cut GPUs anew." if error.status in (401, 403) else ""
            raise ComponentError(f"answered {error.status} {error.reason}.", where=f"Kubernetes node {node}", remedy=remedy) from None

    def _list(self, call: Any, **arguments: Any) -> list[dict[str, Any]]:
        """All pages, as plain JSON: the client's own objects cost ten times the time on a large cluster."""
        items: list[dict[str, Any]] = []
        page: Mapping[str, Any] = {"continue": None}
        try:
            while page is not None:
                more = {"_continue": page["continue"]} if page["continue"] else {}
                document = ask_json(call, limit=PAGE, **arguments, **more)
                items += document["items"]
                page = document["metadata"]
                if not page.get("continue"):
                    return items
        except ApiRefused as error:
            remedy = "The agent's service account needs `list` of nodes and pods." if error.status in (401, 403) else ""
            raise ComponentError(f"answered {error.status} {error.reason}.", where="Kubernetes", remedy=remedy) from None
        except (KeyError, TypeError) as error:
            raise ComponentError(f"gives no list ({error!r:.100}).", where="Kubernetes") from None
        return items


def _ready(node: Mapping[str, Any]) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in node["status"].get("conditions", ()))


def _offers(node: Mapping[str, Any]) -> bool:
    return any(name == GPU or name.startswith(MIG_PREFIX) for name in node["status"].get("capacity", ()))
