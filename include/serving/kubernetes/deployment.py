"""A revision as Deployment, Service, autoscaler and disruption budget. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from include.kubernetes.apply import Document
from include.kubernetes.labels import labels_of
from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.server import Workload, name_of

PULL_S = 60
"""What a new pod may take beside its start time."""
SETTLE_S = 300
"""A server that has waited for its model is not stopped again before that."""


def volume(options: ClusterOptions) -> list[Document]:
    """The claim that all revisions share: pruned with none of them. None where their folder is the node's."""
    if options.host_path:
        return []
    spec: Document = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": options.claim_size}}}
    if options.storage_class:
        spec["storageClassName"] = options.storage_class
    metadata = {"name": options.claim, "namespace": options.namespace, "labels": {"app.kubernetes.io/name": "updraft"}}
    return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}]


def revision(server: Workload) -> list[Document]:
    """All objects of one revision, what is needed first."""
    config = server.config()
    scaled = [_autoscaler(server), _budget(server)] if server.scales else []
    return [
        *([config] if config else ()),
        service(server.model, server.version, server.ports(), server.options),
        _deployment(server),
        *scaled,
    ]


def _deployment(server: Workload) -> Document:
    lease, metrics = server.lease, server.launch.metrics
    scrape = {}
    if metrics:
        port = str(server.ports()[metrics.port])
        scrape = {"prometheus.io/scrape": "true", "prometheus.io/path": metrics.path, "prometheus.io/port": port}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": server.metadata(),
        "spec": {  # no replicas: they are the autoscaler's
            "selector": {"matchLabels": server.labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": math.ceil(server.serve.start_timeout_s) + PULL_S,
            "template": {
                "metadata": {
                    "labels": server.labels | (lease.labels if lease else {}),
                    "annotations": scrape | (lease.annotations if lease else {}),
                },
                "spec": server.pod(),
            },
        },
    }


def service(model: str, version: int, listens: Mapping[str, int], options: ClusterOptions) -> Document:
    """By this the gateway reaches a revision; it may be there before its servers are."""
    labels = labels_of(model) | {"updraft.io/revision": str(version)}
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in listens.items()]
    kind = "NodePort" if options.address == "node-port" else "ClusterIP"
    metadata = {"name": name_of(model, version), "namespace": options.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": kind, "selector": labels, "ports": ports}}


def _autoscaler(server: Workload) -> Document:
    options = server.options
    aim = {"type": "AverageValue", "averageValue": str(options.queue)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": server.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": server.name},
            "minReplicas": server.least,
            "maxReplicas": server.most,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": server.queue_metric}, "target": aim}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
                "scaleDown": {"stabilizationWindowSeconds": SETTLE_S, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
            },
        },
    }


def _budget(server: Workload) -> Document:
    # One at a time, whatever their number: with `minAvailable: 1` a single server's node could never be drained.
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": server.labels}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": server.metadata(), "spec": spec}
