"""Revisions whose servers are Deployments: a real Triton on a real cluster, reached by its Service."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from include.backends.triton.spec import TritonServe
from include.bundles import golden_probe as golden
from include.bundles.table import Bundle
from include.errors import ComponentError, InputError
from include.runtime.settings import REPO
from include.serving.kubernetes.options import ClusterOptions
from include.serving.lease import RevisionLease
from include.serving.revision import RevisionState
from include.serving.revisions import Revisions
from include.verdict import Decision
from tests.include.serving.kubernetes.cluster import host, needs_triton
from tests.include.serving.stage import Stage
from tests.include.targets.cluster import Space, needs_cluster, way
from tests.waiting import until

pytestmark = [pytest.mark.integration, needs_cluster, needs_triton]
SERVE = TritonServe(start_timeout_s=120, drain_s=1)
SERVE_SLOWLY = SERVE.model_copy(update={"wrapper": "serving:Wrapper"})


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    yield Stage.acquire()
    Stage.release()


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    space = Space()
    yield space
    space.close()


@pytest.fixture
def backend(stage, space):
    return over(stage, space)


def over(stage, space, **options) -> Revisions:
    return Revisions(stage.settings, stage.supervisor, {"kubernetes": lambda: host(stage.settings, space, **options)})


def start(backend, stage, model, version="1", bundle="good", serve=SERVE, params=None):
    return backend.start(stage.bundles / bundle, model, version, serve, params or {}, target="kubernetes")


def deployments(space) -> set[str]:
    from kubernetes.client import AppsV1Api

    return {one.metadata.name for one in AppsV1Api(space.api).list_namespaced_deployment(space.name).items}


def scalers(space) -> set[str]:
    from kubernetes.client import AutoscalingV1Api

    return {one.metadata.name for one in AutoscalingV1Api(space.api).list_namespaced_horizontal_pod_autoscaler(space.name).items}


def objects(space, model) -> list[str]:
    """What is left of a model's revisions."""
    services = space.core.list_namespaced_service(space.name, label_selector=f"updraft.io/model={model}").items
    pods = space.core.list_namespaced_pod(space.name, label_selector=f"updraft.io/model={model}").items
    named = [one.metadata.name for one in (*services, *pods)]
    return named + [name for name in deployments(space) if name.startswith(f"revision-{model}-")]


def infer(stage, revision):
    return httpx.post(f"{revision.url}/v2/models/{revision.model}/infer", json=stage.golden_request(), timeout=10)


def test_a_revision_is_a_deployment_that_answers_rightly_and_leaves_nothing(backend, stage, space):
    revision = start(backend, stage, "plain")
    assert revision.target == "kubernetes" and revision.host != stage.settings.host
    assert backend.state(revision) is RevisionState.RUNNING
    verdict = golden.check(revision.url, {}, "plain", Bundle.read(stage.bundles / "good").golden, max_batch_size=3)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert httpx.get(f"http://{revision.host}:{revision.ports[1]}/metrics", timeout=10).text.count("nv_inference_request_success")
    pod = next(iter(space.pods()))
    assert start(over(stage, space), stage, "plain") == revision and set(space.pods()) == {pod}  # another worker finds it
    keepers = Revisions(stage.settings, stage.supervisor)  # it has no connection
    assert keepers.state(revision) is RevisionState.RUNNING
    backend.stop(revision)
    assert objects(space, "plain") == [] and backend.find("plain", "1") is None
    backend.stop(revision)


@pytest.mark.parametrize(
    ("options", "model", "says"),
    [
        (
            {"image": "localhost/none-{runtime}:1"},
            "imageless",
            r"extra: servers\.image: the image localhost/none-triton:1 is not on the node",
        ),
        ({"memory": "30Mi"}, "hungry", r"extra: servers\.memory: .*limit of 30Mi .*OOMKilled"),
        ({"host_path": "/nowhere"}, "homeless", "not ready within 10 s: Its volume can't be mounted: .*/nowhere"),
        ({"node_selector": {"disk": "none"}}, "placeless", "not ready within 10 s: No node has room for it"),
    ],
)
def test_a_server_that_cant_start_is_explained_and_leaves_nothing(stage, space, options, model, says):
    waits = TritonServe(start_timeout_s=10 if "10 s" in says else 120)
    with pytest.raises((InputError, ComponentError), match=says):
        start(over(stage, space, **options), stage, model, serve=waits)
    assert objects(space, model) == [] and not (stage.settings.revisions / model / "1").exists()


def test_a_model_that_does_not_load_is_explained_by_its_servers_own_words(backend, stage, space):
    with pytest.raises(ComponentError, match=r"(?s)the server ended while it loaded the model: .*(Protobuf|protobuf|INVALID)"):
        start(backend, stage, "broken", bundle="corrupt")
    assert objects(space, "broken") == []


def test_a_used_up_quota_is_named(stage, space, backend):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.memory": "1Mi"}}}
    space.core.create_namespaced_resource_quota(space.name, quota)
    try:
        with pytest.raises(InputError, match=r"the cluster makes no pod for it: .*exceeded quota: none"):
            start(backend, stage, "poor")
    finally:
        space.core.delete_namespaced_resource_quota("none", space.name)
    assert objects(space, "poor") == []


def test_a_worker_killed_in_a_deploy_leaves_a_server_that_the_next_try_finds(stage, space, backend):
    program = f"""
from dataclasses import replace
from pathlib import Path
from include.runtime.settings import Settings
from include.serving.revisions import Revisions
from include.serving.kubernetes.host import KubernetesHost
from tests.include.serving.kubernetes.cluster import access, applier_of
from tests.include.serving.kubernetes.test_host import SERVE_SLOWLY
from tests.include.targets.cluster import connect

settings = replace(Settings.load(), home=Path({str(stage.settings.home)!r}))
host = KubernetesHost(settings, access(settings, {space.name!r}), applier_of(connect()))
backend = Revisions(settings, None, {{"kubernetes": lambda: host}})
backend.start(Path({str(stage.bundles / "good")!r}), "found", "1", SERVE_SLOWLY, {{"load_s": 5}}, target="kubernetes")
"""
    worker = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(REPO)}, cwd=REPO)
    until(lambda: "revision-found-1" in deployments(space), 90)
    worker.kill()
    worker.wait()
    mine = [name for name in space.pods() if name.startswith("revision-found-1-")]
    revision = start(backend, stage, "found", serve=SERVE_SLOWLY, params={"load_s": 5})
    assert mine == [] or mine == [name for name in space.pods() if name.startswith("revision-found-1-")]
    assert infer(stage, revision).status_code == 200
    backend.stop(revision)


def test_two_runs_that_race_for_one_deployment_come_to_the_same(stage, space):
    found = []
    both = [over(stage, space, max_replicas=2) for _ in range(2)]
    threads = [threading.Thread(target=lambda backend=backend: found.append(start(backend, stage, "raced"))) for backend in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and found[0] == found[1]
    assert sum(name.startswith("revision-raced-") for name in space.pods()) == 1
    assert scalers(space) == {"revision-raced-1"}
    both[0].stop(found[0])
    assert scalers(space) == set() and objects(space, "raced") == []


def test_an_api_server_that_is_away_for_a_while_ends_no_deploy(stage, space):
    with way() as (cut, api):
        backend = Revisions(stage.settings, stage.supervisor, {"kubernetes": lambda: host(stage.settings, space, api)})
        found = []
        deploy = threading.Thread(target=lambda: found.append(start(backend, stage, "patient", serve=SERVE_SLOWLY, params={"load_s": 8})))
        deploy.start()
        until(lambda: any(name.startswith("revision-patient-") for name in space.pods()), 90)
        cut.cut()
        time.sleep(10)
        assert deploy.is_alive()
        cut.open = True
        deploy.join(120)
        assert backend.state(found[0]) is RevisionState.RUNNING
        backend.stop(found[0])


def test_a_paused_server_comes_back_at_its_address_on_the_gpu_of_its_lease(stage, space, backend):
    space.priority_class("updraft-7", 7)
    (node,) = space.core.list_node().items
    grant = {"node": node.metadata.name, "uuids": ["GPU-0"], "indexes": [0], "model": "SIMULATED", "milli": 1000, "memory_mib": 81920}
    lease = RevisionLease("key", {"priority": 7}, "lease-1", 1, "", {}, grant)
    revision = backend.start(stage.bundles / "good", "leased", "1", SERVE, {}, lease, "kubernetes")

    def pods():
        return [pod for pod in space.pods().values() if pod.metadata.labels["updraft.io/model"] == "leased"]

    (pod,) = pods()
    assert pod.spec.containers[0].resources.limits["nvidia.com/gpu"] == "1" and pod.spec.priority_class_name == "updraft-7"
    assert pod.metadata.labels["updraft.io/lease"] == "lease-1" and pod.spec.node_selector["kubernetes.io/hostname"] == grant["node"]
    backend.pause(revision)
    backend.keep_lease(revision, lease.without())
    assert pods() == [] and backend.state(revision) is RevisionState.PREEMPTED
    backend.resume(revision, RevisionLease("key", {"priority": 7}, "lease-2", 2, "", {}, grant))
    until(lambda: backend.state(revision) is RevisionState.RUNNING, 120)
    (pod,) = pods()
    assert pod.metadata.labels["updraft.io/lease"] == "lease-2" and infer(stage, revision).status_code == 200
    backend.stop(revision)
    assert objects(space, "leased") == []


def test_a_revision_is_reached_by_a_port_of_the_node_too(stage, space):
    (node,) = space.core.list_node().items
    address = next(one.address for one in node.status.addresses if one.type == "InternalIP")
    backend = over(stage, space, address="node-port", address_of=address)
    revision = start(backend, stage, "ported")
    assert revision.host == address and revision.http_port >= 30000 and infer(stage, revision).status_code == 200
    backend.stop(revision)


def test_a_pod_evicted_in_a_canary_costs_no_caller_an_answer(stage, space, backend):
    revisions = [start(backend, stage, "tried", version) for version in ("1", "2")]
    for revision in revisions:
        stage.gateway.add_revision(revision.endpoint())
    stage.gateway.set_split("tried", {"1": 50, "2": 50})
    until(lambda: all(stage.gateway.admin.healthy(revision.endpoint().cluster) for revision in revisions), 30)
    name = next(name for name in space.pods() if name.startswith("revision-tried-2-"))
    eviction = {"metadata": {"name": name, "namespace": space.name}}
    space.core.create_namespaced_pod_eviction(name, space.name, {**eviction, "apiVersion": "policy/v1beta1", "kind": "Eviction"})
    codes = []
    while len(codes) < 60 or name in {pod.metadata.name for pod in space.core.list_namespaced_pod(space.name).items}:
        codes.append(stage.infer("tried").status_code)
        time.sleep(0.02)
    assert set(codes) == {200}
    until(lambda: backend.state(revisions[1]) is RevisionState.RUNNING, 120)  # another pod takes its place
    stage.gateway.retire("tried")
    for revision in revisions:
        backend.stop(revision)


def test_a_connection_that_says_nonsense_is_named():
    with pytest.raises(InputError, match=r"extra: servers: min_replicas: Input should be"):
        ClusterOptions.read({"servers": {"min_replicas": 0}}, "n")
    with pytest.raises(InputError, match="needs address_of"):
        ClusterOptions.read({"servers": {"address": "node-port"}}, "n")
