"""Revisions on the cluster that KUBECONFIG names. A cluster that is older than the manifests gets them in its own words, here alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from include.kubernetes.apply import PRUNED, Applier, Document
from include.runtime.settings import Settings
from include.serving.kubernetes.access import ClusterAccess
from include.serving.kubernetes.host import KubernetesHost
from tests.include.targets.cluster import Space
from tests.waiting import until

IMAGE = os.environ.get("UPDRAFT_TEST_TRITON", "")
needs_triton = pytest.mark.skipif(
    not IMAGE, reason="UPDRAFT_TEST_TRITON not set: the image of runtime triton, as the cluster's node has it"
)
OLD = {"autoscaling/v2": "autoscaling/v2beta2", "policy/v1": "policy/v1beta1"}


class OldApplier(Applier):
    """For clusters before 1.25."""

    def __init__(self, api: Any, namespace: str) -> None:
        super().__init__(api, namespace, [(OLD.get(version, version), kind) for version, kind in PRUNED])

    def put(self, document: Document) -> Document:
        return super().put(document | {"apiVersion": OLD.get(document["apiVersion"], document["apiVersion"])})


def applier_of(api: Any) -> type[Applier]:
    from kubernetes.client import VersionApi

    return OldApplier if int(VersionApi(api).get_code().minor.rstrip("+")) < 25 else Applier


@dataclass(frozen=True)
class ByClient(ClusterAccess):
    """The cluster behind this client."""

    api: Any = None

    def client(self) -> Any:
        return self.api or super().client()


def access(settings: Settings, namespace: str, api: Any = None, **more: Any) -> ClusterAccess:
    """Servers of the tests' image, with the revisions' folder of this machine."""
    given = {
        "image": IMAGE,
        "pull": "Never",
        "host_path": str(settings.revisions),
        "max_replicas": 1,
        "cpu": "50m",
        "memory": "1Gi",
    }
    found = ClusterAccess.of({"servers": given | more}, namespace)
    return ByClient(found.options, found.reach, api)


def host(settings: Settings, space: Space, api: Any = None, away_s: float = 60, **more: Any) -> KubernetesHost:
    return KubernetesHost(settings, access(settings, space.name, api, **more), applier_of(space.api), away_s)


@contextmanager
def crd(api: Any, group: str, version: str, kind: str, plural: str) -> Iterator[None]:
    """The cluster knows objects of that kind, whatever they hold, as if what serves them were installed. One that knows them stays as it
    is."""
    from kubernetes.client import ApiException, ApiextensionsV1Api

    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}}
    body = {
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }
    crds = ApiextensionsV1Api(api)
    made = True
    try:
        crds.create_custom_resource_definition(body)
    except ApiException as error:
        if error.status != 409:
            raise
        made = False

    def known() -> bool:
        found = crds.read_custom_resource_definition(body["metadata"]["name"])
        assert not found.metadata.deletion_timestamp, "another test takes it away at this moment"
        return any(one.type == "Established" and one.status == "True" for one in found.status.conditions or ())

    until(known, 30)
    yield
    if made:
        crds.delete_custom_resource_definition(body["metadata"]["name"])
