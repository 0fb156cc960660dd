"""Traffic by the cluster's own gateway: an HTTPRoute's weights, or ingress-nginx's canary, written and read back.

Updraft's own gateway holds the same split, and is where probes, golden inputs, batches and load tests go. What callers get is the cluster's
to say, so :meth:`ClusterGateway.split` reads it there, and the judge's figures come out of Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from include.backends import options as kept
from include.backends.registry import backend
from include.errors import InputError
from include.gateway.credentials import Credentials
from include.gateway.gateway import APPLY_S, Gateway
from include.gateway.observe import Source
from include.gateway.prometheus import Figures, Prometheus, envoy, ingress_nginx
from include.gateway.table import Split, Tap
from include.kubernetes.apply import Applier, Document
from include.runtime.settings import Settings
from include.serving.kubernetes import routes
from include.serving.kubernetes.access import ClusterAccess
from include.serving.kubernetes.host import KubernetesHost
from include.serving.kubernetes.server import Workload, name_of
from include.serving.revision import REPOSITORY, Revision

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

HTTPROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
INGRESS = ("networking.k8s.io/v1", "Ingress")


class ClusterGateway(Gateway):
    """Both gateways of a platform whose cluster has one of its own."""

    def __init__(
        self,
        settings: Settings,
        access: ClusterAccess,
        credentials: Credentials | None = None,
        applier: Callable[[ApiClient, str], Applier] = Applier,
    ) -> None:
        super().__init__(settings, credentials)
        self._access, self._make_applier, self._options = access, applier, access.options

    def split(self, model: str) -> Split | None:
        found = routes.weights(self._routes(model))
        return Split({name.rpartition("-")[2]: percent for name, percent in sorted(found.items()) if percent}) if found else None

    def set_split(
        self, model: str, weights: Mapping[str, int], mirror: str | None = None, tap: Tap | None = None, timeout_s: float = APPLY_S
    ) -> None:
        """InputError too for a mirror, and for a revision that the cluster can't send anything to."""
        if mirror is not None:
            raise InputError(
                "the cluster's gateway does not tell how copies were answered.", where="canary.mirror_s", remedy="Set it to 0."
            )
        wanted = routes.RENDERERS[self._options.route](self._shares(model, weights))
        super().set_split(model, weights, None, tap, timeout_s)
        self._applier.apply(wanted)
        if self._options.route == "ingress-nginx" and len(wanted) == 1:
            self._applier.remove(*INGRESS, routes.route_name(model) + routes.CANARY)

    def retire(self, model: str, timeout_s: float = APPLY_S) -> None:
        for kind, name in self._places(model):
            self._applier.remove(*kind, name)
        super().retire(model, timeout_s)

    def source(self, model: str, stable: str, canary: str) -> Source:
        return Prometheus(self._options.prometheus, self._figures(model, stable, 0), self._figures(model, canary, 1))

    def _figures(self, model: str, version: str, index: int) -> Figures:
        options, route, service = self._options, routes.route_name(model), name_of(model, int(version))
        if options.route == "ingress-nginx":
            return ingress_nginx(route, f"{options.namespace}-{service}-http" if index else "")
        told = {"namespace": options.namespace, "route": route, "service": service, "index": str(index)}
        name = options.envoy_cluster
        for field, value in told.items():
            name = name.replace(f"{{{field}}}", value)
        return envoy(name)

    def _shares(self, model: str, weights: Mapping[str, int]) -> routes.Split:
        """Stable is the one that was named first."""
        servers = [(self._server(model, version), percent) for version, percent in weights.items() if percent]
        if not 1 <= len(servers) <= 2:
            raise InputError(f"{dict(weights)} is no split of one or two revisions.", where=f"gateway: split of {model}")
        (stable, _), *rest = servers
        return routes.Split(stable, *rest[0]) if rest else routes.Split(stable)

    def _server(self, model: str, version: str) -> Workload:
        folder = self._settings.revisions / model / version
        revision = Revision.read(folder)
        if revision is None or revision.target != KubernetesHost.name:
            what = f"revision {version} is no server of the cluster, whose gateway can't send it anything."
            remedy = "Bring it there first: its rollback DAG with that version, and `target: kubernetes` in the spec."
            raise InputError(what, where=f"production of {model}", remedy=remedy)
        serve, _ = kept.read(folder)
        return Workload(model, serve, int(version), self._options, laid=backend(serve.backend).laid(folder / REPOSITORY))

    def _places(self, model: str) -> list[tuple[tuple[str, str], str]]:
        name = routes.route_name(model)
        if self._options.route == "httproute":
            return [(HTTPROUTE, name)]
        return [(INGRESS, name), (INGRESS, name + routes.CANARY)]

    def _routes(self, model: str) -> list[Document]:
        found = [self._applier.get(*kind, name) for kind, name in self._places(model)]
        return [document for document in found if document is not None]

    @cached_property
    def _applier(self) -> Applier:
        return self._make_applier(self._access.client(), self._options.namespace)


def gateway_of(settings: Settings, model: str, target: str = "") -> Gateway:
    """What a model's traffic goes by: Updraft's own gateway, and the cluster's beside it where revisions of the model are there, or will be
    (``target``), and the connection names a route."""
    access = ClusterAccess.read(settings)
    if access is None or not access.options.route:
        return Gateway(settings)
    known = (Revision.read(path.parent) for path in settings.revisions.glob(f"{model}/*/revision.json"))
    there = target == KubernetesHost.name or any(one is not None and one.target == KubernetesHost.name for one in known)
    return ClusterGateway(settings, access) if there else Gateway(settings)
