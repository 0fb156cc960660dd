"""Rendered revisions on a real API server."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.kubernetes.apply import Applier
from include.runtime.settings import REPO
from include.serving.kubernetes.deployment import revision, volume
from include.serving.kubernetes.kserve import inference_service
from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.routes import Split, ingress_nginx, weights
from include.serving.kubernetes.server import Workload
from tests.include.serving.kubernetes.cluster import applier_of, crd
from tests.include.targets.cluster import Space, needs_cluster, way

pytestmark = [pytest.mark.integration, needs_cluster]


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    space = Space()
    yield space
    space.close()


@pytest.fixture
def applier(space) -> Applier:
    return applier_of(space.api)(space.api, space.name)


@pytest.fixture
def server(space):
    def server(model: str, version: int) -> Workload:
        spec = load(REPO / "include" / "models" / model / "model.yaml")
        return Workload(spec.name, spec.serve, version, ClusterOptions(namespace=space.name, image="localhost/none-{runtime}:1"))

    return server


def deployments(space) -> dict[str, Any]:
    from kubernetes.client import AppsV1Api

    return {one.metadata.name: one for one in AppsV1Api(space.api).list_namespaced_deployment(space.name).items}


@pytest.mark.parametrize("model", ["digits", "tinychat"])
def test_a_revision_is_taken_and_taken_again_without_a_change(applier, server, space, model):
    first = applier.apply([*volume(server(model, 1).options), *revision(server(model, 1))])
    assert f"Deployment revision-{model}-1" in first
    before = deployments(space)[f"revision-{model}-1"].metadata.generation
    assert applier.apply([*volume(server(model, 1).options), *revision(server(model, 1))]) == first
    assert deployments(space)[f"revision-{model}-1"].metadata.generation == before


def test_what_the_autoscaler_has_set_stays(applier, server, space):
    from kubernetes.client import AppsV1Api

    applier.apply(revision(server("digits", 2)))
    AppsV1Api(space.api).patch_namespaced_deployment_scale("revision-digits-2", space.name, {"spec": {"replicas": 3}})
    applier.apply(revision(server("digits", 2)))
    assert deployments(space)["revision-digits-2"].spec.replicas == 3


def test_a_rolled_back_version_goes_with_all_its_objects_and_no_others(applier, server, space):
    for version in (5, 6):
        applier.apply(revision(server("diabetes", version)))
    applier.apply(revision(server("digits", 5)))
    gone = applier.prune("diabetes", keep=[5])
    assert {name.split()[0] for name in gone} == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert {name.split()[1] for name in gone} == {"revision-diabetes-6"}
    assert applier.prune("diabetes", keep=[5]) == []
    assert {"revision-diabetes-5", "revision-digits-5"} <= set(deployments(space))
    with pytest.raises(InputError, match="no version is kept"):
        applier.prune("diabetes", keep=[])


def test_two_that_race_for_one_deployment_come_to_the_same(applier, server, space):
    wanted, errors = revision(server("digits", 7)), []

    def run() -> None:
        try:
            applier.apply(wanted)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and "revision-digits-7" in deployments(space)


@pytest.mark.parametrize("weight", [10, 50])
def test_a_canarys_weight_is_read_back_from_the_cluster(applier, server, space, weight):
    from kubernetes.client import NetworkingV1Api

    applier.apply(ingress_nginx(Split(server("digits", 1), server("digits", 2), weight)))
    found = space.api.sanitize_for_serialization(NetworkingV1Api(space.api).list_namespaced_ingress(space.name).items)
    assert weights([{"kind": "Ingress", **one} for one in found]) == {"revision-digits-1": 100 - weight, "revision-digits-2": weight}


def test_an_api_that_the_cluster_lacks_is_named(applier):
    with pytest.raises(InputError, match="Gizmo a: the cluster does not know this API"):
        applier.apply([{"apiVersion": "example.org/v1", "kind": "Gizmo", "metadata": {"name": "a"}}])


def test_kserves_share_of_a_canary_is_read_back_from_the_cluster(applier, server, space):
    wanted = inference_service(Split(server("digits", 1), server("digits", 2), 20))
    with crd(space.api, "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices"):
        applier.apply(wanted)
        found = applier.get("serving.kserve.io/v1beta1", "InferenceService", "digits")
    assert found["spec"]["predictor"]["canaryTrafficPercent"] == 20


def test_what_the_cluster_refuses_is_named(applier, server):
    wanted = revision(server("digits", 8))
    next(one for one in wanted if one["kind"] == "Service")["spec"]["ports"] = []
    with pytest.raises(InputError, match=r"Service revision-digits-8: the cluster refuses it: .*spec\.ports"):
        applier.apply(wanted)


def test_a_cluster_that_is_away_may_come_back(space):
    with way() as (cut, api):
        cut.cut()
        with pytest.raises(ComponentError, match="gives no answer"):
            Applier(api, space.name)
