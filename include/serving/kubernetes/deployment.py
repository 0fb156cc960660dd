"""A revision as Deployment, Service, autoscaler and disruption budget. Pure."""

from __future__ import annotations

import math

from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.server import METRICS, PROBE_S, Document, Server

SETTLE_S = 300
"""A server that has waited for its model is not stopped again before that."""


def volume(options: ClusterOptions) -> Document:
    """The claim that all revisions share: pruned with none of them."""
    spec: Document = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": options.claim_size}}}
    if options.storage_class:
        spec["storageClassName"] = options.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": options.claim, "namespace": options.namespace, "labels": {"app.kubernetes.io/name": "updraft"}},
        "spec": spec,
    }


def revision(server: Server) -> list[Document]:
    """All objects of one revision, what is needed first."""
    config = server.config()
    return [*([config] if config else ()), _deployment(server), _service(server), _autoscaler(server), _budget(server)]


def _deployment(server: Server) -> Document:
    scrape = {"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics"}
    port = str(METRICS if "metrics" in server.ports() else server.ports()["http"])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": server.metadata(),
        "spec": {  # no replicas: they are the autoscaler's
            "selector": {"matchLabels": server.labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": math.ceil(server.serve.start_timeout_s) + 12 * PROBE_S,
            "template": {
                "metadata": {"labels": server.labels, "annotations": scrape | {"prometheus.io/port": port}},
                "spec": server.pod(),
            },
        },
    }


def _service(server: Server) -> Document:
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in server.ports().items()]
    spec = {"type": "ClusterIP", "selector": server.labels, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": server.metadata(), "spec": spec}


def _autoscaler(server: Server) -> Document:
    options = server.options
    aim = {"type": "AverageValue", "averageValue": str(options.queue)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": server.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": server.name},
            "minReplicas": options.min_replicas,
            "maxReplicas": options.max_replicas,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": server.queue_metric}, "target": aim}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
                "scaleDown": {"stabilizationWindowSeconds": SETTLE_S, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
            },
        },
    }


def _budget(server: Server) -> Document:
    # One at a time, whatever their number: with `minAvailable: 1` a single server's node could never be drained.
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": server.labels}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": server.metadata(), "spec": spec}
