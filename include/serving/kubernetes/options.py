"""What a cluster's revisions have in common, whatever the model: options of the command line, and field ``servers`` of the extra of
Airflow's connection ``updraft_kubernetes``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from include.errors import InputError
from include.kubernetes.client import CONNECTION
from include.kubernetes.values import AbsolutePath, DnsName, Quantity
from include.spec.parts import Part

FIELD = "servers"
WHERE = f"connection {CONNECTION}, extra: {FIELD}"
HOME = "/opt/updraft"
"""Where Updraft's own images have it."""


class ClusterOptions(Part):
    namespace: DnsName = "updraft"
    image: Annotated[str, Field(min_length=1, max_length=500)] = "updraft/{runtime}:latest"
    """`{runtime}` stands for the environment that the backend runs in (triton, llm, vllm), `{lock}` for the tag that `make images` gives
    it, the digest of its lock."""
    claim: DnsName = "updraft-revisions"
    """The volume with Updraft's revisions folder, which holds what each revision serves."""
    host_path: Annotated[str, Field(pattern=r"^(/.*)?$", max_length=500)] = ""
    """Instead of a claim, that folder on the node itself: for clusters of one node that the worker runs on as well."""
    memory: Quantity = "4Gi"
    """Of one server: asked for, and its limit; a spec's `serve.limits` go before it."""
    cpu: Quantity = "1"
    """Processors that one server asks for."""
    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 4
    """Bounds of the autoscaler; 1: there is none, and nothing that a disruption budget could keep."""
    queue: Annotated[int, Field(ge=1)] = 4
    """The autoscaler aims at so many waiting requests a server."""
    gateway: str = "updraft"
    """The Gateway (or, for ingress-nginx, the class) that callers come by."""
    host: str = ""
    """The name that callers ask for there."""
    route: Literal["", "httproute", "ingress-nginx"] = ""
    """What holds the traffic's weights beside Updraft's own gateway: the cluster's own, by an HTTPRoute or by Ingresses."""
    prometheus: Annotated[str, Field(pattern=r"^(https?://.+)?$", max_length=500)] = ""
    """With a route: where the judge reads what that gateway did."""
    envoy_cluster: Annotated[str, Field(max_length=500)] = "httproute/{namespace}/{route}/rule/0/backend/{index}"
    """What a gateway made of Envoy calls a backend of the HTTPRoute in its figures (Envoy Gateway's names): `{namespace}`, `{route}`,
    `{service}` and `{index}`, which is 0 for stable and 1 for the canary."""
    claim_size: Quantity = "100Gi"
    storage_class: str = ""
    node_selector: dict[str, str] = Field(default_factory=dict)
    roots: dict[str, AbsolutePath] = Field(default_factory=dict)
    """Where images that are not Updraft's own have a backend's server: `{triton: /opt/tritonserver}` for NVIDIA's."""
    pull: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """imagePullPolicy."""
    pull_secrets: tuple[DnsName, ...] = ()
    """Secrets with the registry's credentials."""
    user: Annotated[int, Field(ge=1, le=2**31)] = 1000
    """User and group of the servers: they must be able to read the revisions' folder."""
    address: Literal["cluster-ip", "node-port", "dns"] = "cluster-ip"
    """How Updraft's own gateway reaches a revision's Service: by its address in the cluster, by a port of the nodes, by its name."""
    address_of: Annotated[str, Field(max_length=253)] = ""
    """For node-port: a node's name or address. For dns: what follows a Service's name (default: .NAMESPACE.svc.cluster.local)."""

    @model_validator(mode="after")
    def _possible(self) -> ClusterOptions:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        if self.address == "node-port" and not self.address_of:
            raise ValueError("address node-port needs address_of: a node's name or address")
        if self.route and not self.prometheus:
            raise ValueError(f"route {self.route} needs prometheus: the address at which the judge reads what happened")
        return self

    @property
    def scales(self) -> bool:
        return self.max_replicas > 1

    @classmethod
    def read(cls, extra: Mapping[str, Any], namespace: str) -> ClusterOptions:
        """Out of the connection's extra; the namespace is the connection's. Raises InputError that names the field."""
        given = {"namespace": namespace} | dict(extra.get(FIELD) or {})
        try:
            return cls.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{at + ': ' if at else ''}{first['msg']}.", where=WHERE, remedy="See docs/scaling.md.") from None
