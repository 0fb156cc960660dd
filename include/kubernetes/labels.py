"""Labels by which Updraft's objects are found on a cluster, and others' that it reads."""

from __future__ import annotations

QUEUE = "kueue.x-k8s.io/queue-name"


def labels_of(model: str) -> dict[str, str]:
    """Of everything that serves a model."""
    return {"app.kubernetes.io/name": "updraft", "app.kubernetes.io/component": "revision", "app.kubernetes.io/managed-by": "updraft"} | {
        "updraft.io/model": model
    }
