"""A revision as KServe's InferenceService: KServe makes its Deployment, Service, autoscaler and routes. Pure."""

from __future__ import annotations

from include.kubernetes.apply import Document
from include.kubernetes.labels import labels_of
from include.serving.kubernetes.routes import Split

CONTAINER = "kserve-container"


def inference_service(split: Split) -> list[Document]:
    """Of a split: KServe itself keeps the revision before as stable, so only the canary is written down, with its share."""
    server = split.canary or split.stable
    predictor: Document = {
        **server.pod(CONTAINER),
        "minReplicas": server.least,
        "maxReplicas": server.most,
        "timeout": int(server.serve.request_timeout_s),
        "labels": server.labels,
    }
    if split.canary:
        predictor["canaryTrafficPercent"] = split.weight
    name = server.name.rpartition("-")[0].removeprefix("revision-")
    metadata = {"name": name, "namespace": server.options.namespace, "labels": labels_of(server.model)}
    config = server.config()
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }
    return [*([config] if config else ()), service]
