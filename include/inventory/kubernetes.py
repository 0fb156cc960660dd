"""The GPUs of a Kubernetes cluster, as its API tells them: what nodes offer, and what pods hold. Needs ``list`` of nodes and pods.

Kubernetes counts devices, it doesn't name them: ``k8s/<node>/gpu-<i>`` is the i-th of a node. A pod of ours carries the label
``updraft.io/lease`` (the lease's id) and the annotation ``updraft.io/devices`` (the devices' names here, with commas between); every other
pod that asks for GPUs is a stranger, given the highest numbers that are free and keeping them as long as it lives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError
from include.inventory.cluster_facts import Facts, described
from include.inventory.kubernetes_node import GPU, MIG_PREFIX, Pod, read_node
from include.pool.state import NodeReport

TIMEOUT_S = (3.05, 15.0)
PAGE = 500
HOME_CONFIG = Path.home() / ".kube" / "config"
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

    def _list(self, call: Any, **arguments: Any) -> list[dict[str, Any]]:
        """All pages, as plain JSON: the client's own objects cost ten times the time on a large cluster."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        items: list[dict[str, Any]] = []
        page: Mapping[str, Any] = {"continue": None}
        try:
            while page is not None:
                more = {"_continue": page["continue"]} if page["continue"] else {}
                answer = call(limit=PAGE, _preload_content=False, _request_timeout=TIMEOUT_S, **arguments, **more)
                document = json.loads(answer.data)
                items += document["items"]
                page = document["metadata"]
                if not page.get("continue"):
                    return items
        except ApiException as error:
            remedy = "The agent's service account needs `list` of nodes and pods." if error.status in (401, 403) else ""
            raise ComponentError(f"answered {error.status} {error.reason}.", where="Kubernetes", remedy=remedy) from None
        except (HTTPError, OSError) as error:
            raise ComponentError(f"gives no answer ({type(error).__name__}).", where="Kubernetes") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ComponentError(f"gives no list ({error!r:.100}).", where="Kubernetes") from None
        return items


def configuration() -> Any:
    """Of the official client: inside a cluster its service account, elsewhere ``KUBECONFIG`` or ``~/.kube/config``. Raises InputError."""
    from kubernetes import client, config

    found = client.Configuration()
    found.retries = False  # the agent tries again by itself
    try:
        if not os.environ.get("KUBECONFIG") and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=found)
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG") or str(HOME_CONFIG), client_configuration=found)
    except (config.ConfigException, OSError, ValueError) as error:
        remedy = "Set it, or run this inside the cluster."
        raise InputError(f"there is no cluster to ask ({str(error)[:200]}).", where="KUBECONFIG", remedy=remedy) from None
    return found


def _ready(node: Mapping[str, Any]) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in node["status"].get("conditions", ()))


def _offers(node: Mapping[str, Any]) -> bool:
    return any(name == GPU or name.startswith(MIG_PREFIX) for name in node["status"].get("capacity", ()))
