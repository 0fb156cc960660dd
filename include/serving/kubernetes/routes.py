"""Who gets traffic: Gateway API's HTTPRoute, or Ingresses with ingress-nginx's canary annotations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.errors import InputError
from include.kubernetes.apply import Document
from include.kubernetes.labels import labels_of
from include.serving.kubernetes.server import Workload, name_of
from include.spec.serve import Protocol

NGINX = "nginx.ingress.kubernetes.io"


@dataclass(frozen=True)
class Split:
    """``weight`` percent of a model's traffic go to ``canary``, the rest to ``stable``. Without a canary, all."""

    stable: Workload
    canary: Workload | None = None
    weight: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 100:
            raise InputError(f"is {self.weight}.", where="--weight", remedy="Percent: 0 to 100.")
        if self.canary and self.canary.version == self.stable.version:
            raise InputError(f"is version {self.stable.version} itself.", where="--canary-version", remedy="Name another version.")

    @property
    def shares(self) -> list[tuple[Workload, int]]:
        return [(self.stable, 100 - self.weight), (self.canary, self.weight)] if self.canary else [(self.stable, 100)]


def httproute(split: Split) -> list[Document]:
    """One HTTPRoute: both weights change together or not at all."""
    server, options = split.stable, split.stable.options
    backends = [{"name": one.name, "port": one.ports()["http"], "weight": weight, "filters": [_told(one)]} for one, weight in split.shares]
    matches = [{"path": {"type": "PathPrefix", "value": path}} for path in _paths(server)]
    rule: Document = {"matches": matches, "backendRefs": backends, "timeouts": {"request": f"{server.serve.request_timeout_s:g}s"}}
    if (prefix := _prefix(server)) is not None:
        rewrite = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": prefix}}}
        rule["filters"] = [rewrite]
    spec: Document = {"parentRefs": [{"name": options.gateway}], "rules": [rule]}
    if options.host:
        spec["hostnames"] = [options.host]
    return [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": _metadata(server), "spec": spec}]


def _told(server: Workload) -> Document:
    """A filter of its own: without one, Envoy Gateway counts all backends of a rule together, and nobody could tell the arms apart."""
    header = {"name": "x-updraft-revision", "value": str(server.version)}
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [header]}}


def ingress_nginx(split: Split) -> list[Document]:
    """An Ingress for stable, and with a canary a second one with its weight."""
    found = [_ingress(split.stable, _metadata(split.stable)["name"], {})]
    if split.canary:
        canary = {f"{NGINX}/canary": "true", f"{NGINX}/canary-weight": str(split.weight)}
        found.append(_ingress(split.canary, _metadata(split.stable)["name"] + CANARY, canary))
    return found


def weights(documents: Sequence[Document]) -> dict[str, int]:
    """Revision's name → percent, read back from what :func:`httproute` or :func:`ingress_nginx` has made, or a cluster has answered."""
    found: dict[str, int] = {}
    for document in documents:
        if document["kind"] == "HTTPRoute":
            found |= {backend["name"]: int(backend["weight"]) for backend in document["spec"]["rules"][0]["backendRefs"]}
        elif document["kind"] == "Ingress":
            name = document["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
            found[name] = int(document["metadata"].get("annotations", {}).get(f"{NGINX}/canary-weight", -1))
    rest = 100 - sum(weight for weight in found.values() if weight >= 0)
    return {name: rest if weight < 0 else weight for name, weight in found.items()}


def _ingress(server: Workload, name: str, annotations: dict[str, str]) -> Document:
    options = server.options
    seconds = str(int(server.serve.request_timeout_s))
    told = {f"{NGINX}/proxy-read-timeout": seconds, f"{NGINX}/proxy-body-size": "16m", **annotations}
    backend = {"service": {"name": server.name, "port": {"name": "http"}}}
    if (prefix := _prefix(server)) is not None:
        told |= {f"{NGINX}/use-regex": "true", f"{NGINX}/rewrite-target": f"{prefix.rstrip('/')}/$1"}
        paths = [{"path": f"{path}/(.*)", "pathType": "ImplementationSpecific", "backend": backend} for path in _paths(server)]
    else:
        paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in _paths(server)]
    rule = {"http": {"paths": paths}} | ({"host": options.host} if options.host else {})
    metadata = {**_metadata(server), "name": name, "annotations": told}
    spec = {"ingressClassName": options.gateway, "rules": [rule]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def _paths(server: Workload) -> list[str]:
    """An allow-list: engines answer on more paths than callers may reach."""
    return [_PATHS[server.backend.protocol(server.serve)][0].format(model=server.model)]


def _prefix(server: Workload) -> str | None:
    """What the server calls the path by itself; None where it is the same."""
    return _PATHS[server.backend.protocol(server.serve)][1]


_PATHS: dict[Protocol, tuple[str, str | None]] = {
    "kserve": ("/v2/models/{model}", None),
    "openai": ("/{model}/v1", "/v1"),  # a language model's name is in the body, where no route looks
    "own": ("/models/{model}", "/"),
}
"""What callers ask, and what the server calls it itself."""


def route_name(model: str) -> str:
    """Of a model's route."""
    return name_of(model, 1).rpartition("-")[0]


def _metadata(server: Workload) -> Document:
    return {"name": route_name(server.model), "namespace": server.options.namespace, "labels": labels_of(server.model)}


CANARY = "-canary"
"""What the canary's Ingress has behind the route's name."""


def none(split: Split) -> list[Document]:
    """Updraft's own gateway is in front: it holds the weights."""
    return []


RENDERERS = {"httproute": httproute, "ingress-nginx": ingress_nginx, "none": none}
