"""What a cluster's revisions have in common, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HOME = "/opt/updraft"
TRITON = f"{HOME}/.updraft/runtimes/triton/lib/python3.11/site-packages/pytriton/tritonserver"
RUNTIMES = {"triton": "triton", "llamacpp": "llm", "vllm": "vllm"}
"""Backend of a spec → the image that serves it."""


@dataclass(frozen=True)
class ClusterOptions:
    """``image``: ``{runtime}`` stands for triton, llm or vllm. ``claim``: the volume with Updraft's revisions folder, which holds what each
    revision serves. ``memory`` and ``cpu`` are of one server; ``max_replicas`` bounds the autoscaler, which aims at ``queue`` waiting
    requests a server. ``gateway``: the Gateway (or, for ingress-nginx, the class) that callers come by.
    """

    namespace: str = "updraft"
    image: str = "updraft/{runtime}:latest"
    claim: str = "updraft-revisions"
    memory: str = "4Gi"
    cpu: str = "1"
    min_replicas: int = 1
    max_replicas: int = 4
    queue: int = 4
    gateway: str = "updraft"
    host: str = ""
    claim_size: str = "100Gi"
    storage_class: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    triton: str = TRITON
    """Where the image has Triton; NVIDIA's own: /opt/tritonserver."""
