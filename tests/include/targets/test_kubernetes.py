"""Target `kubernetes`, on a real cluster: steps that run, hang, fail, are killed, evicted, preempted, and that never start."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import ComponentError, InputError
from include.pool.ask import Ask
from include.pool.grants import kubernetes as place_of
from include.pool.state import Grant
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.targets import kubernetes as module
from include.targets.kubernetes import KubernetesTarget
from include.targets.step_pods import StepPods
from include.targets.target import StepState, step_of
from tests.include.targets import asked as asking
from tests.include.targets.asked import Asked, begun
from tests.include.targets.cluster import Space, connect, needs_cluster, options, way
from tests.ports import common_base

pytestmark = [pytest.mark.integration, needs_cluster]

GPU = "nvidia.com/gpu"
SOURCES = {
    "hog": "def load():\n    return [bytearray(1 << 26) for _ in range(64)]",
    "family": "import subprocess, time\ndef load():\n    child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "    open('{mark}', 'w').write('begun\\n')\n    time.sleep(600)",
    "learns": "import os, time\nimport pandas as pd\ndef load():\n    kept = os.environ['UPDRAFT_CHECKPOINTS'] + '/epoch'\n"
    "    begun = open(kept).read() if os.path.exists(kept) else 'none'\n"
    "    print('goes on after', begun, flush=True)\n"
    "    open('{mark}', 'a').write('begun\\n')\n    if begun == 'none':\n"
    "        open(kept, 'w').write('epoch 1')\n        time.sleep(600)\n"
    "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})",
    "reads": "import json, os\nimport pandas as pd\nfrom pathlib import Path\ndef load():\n"
    "    asked = next(Path(os.environ['UPDRAFT_HOME'], 'steps').glob('reads*/table.extract/request.json'))\n"
    "    champion = json.loads(asked.read_text())['inputs']\n"
    "    said = Path(champion['champion'], 'model.onnx').read_text()\n"
    "    print(said, 'at', os.environ['MLFLOW_TRACKING_URI'], flush=True)\n"
    "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})",
    "large": "import numpy as np, pandas as pd\ndef load():\n"
    "    return pd.DataFrame(np.random.default_rng(0).random((100_000, 20))).rename(columns=str).assign(y=np.arange(100_000) % 2)",
    "tells": "import os\nimport pandas as pd\ndef load():\n    print('uid', os.getuid(), 'told', os.environ['TOLD'], flush=True)\n"
    "    try:\n        open('/new', 'w')\n    except OSError as error:\n        print('root:', error, flush=True)\n"
    "    print('gpus', os.environ.get('NVIDIA_VISIBLE_DEVICES'), os.environ['UPDRAFT_GPU_LEASE'], flush=True)\n"
    "    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})",
}


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    space = Space()
    for level in (3, 5):
        space.priority_class(f"updraft-{level}", level * 1000)
    yield space
    space.close()


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    settings = replace(Settings.load(), home=Path(tempfile.mkdtemp(prefix="ud-")).resolve(), port_base=common_base())
    settings.steps.mkdir(parents=True)
    yield settings
    shutil.rmtree(settings.home)


@pytest.fixture
def models(settings) -> Path:
    found = Path(tempfile.mkdtemp(dir=settings.home))
    found.chmod(0o777)
    return found


@pytest.fixture
def make(settings, space, models):
    """A target with these options, and what a lease means to it."""

    def made(place=None, api=None, namespace=None, patience_s=60.0, limits=None, **more) -> KubernetesTarget:
        return KubernetesTarget(
            settings, api or space.api, namespace or space.name, options(settings, models, **more), place, limits, patience_s
        )

    yield made
    space.core.delete_collection_namespaced_pod(space.name, grace_period_seconds=0)
    space.core.delete_collection_namespaced_secret(space.name, label_selector="app.kubernetes.io/managed-by=updraft")
    Space.until(space.empty)


@pytest.fixture
def target(make) -> KubernetesTarget:
    return make()


@pytest.fixture
def asked(models, monkeypatch):
    monkeypatch.setattr(asking, "SOURCES", {**asking.SOURCES, **SOURCES})
    return lambda kind: Asked(models, kind)


def soon() -> float:
    return time.monotonic() + 600


def finish(target, step) -> StepState:
    Space.until(lambda: target.state(step) is not StepState.RUNNING)
    return target.state(step)


def pod_of(space, step):
    return space.core.read_namespaced_pod(step.name, space.name)


def started(target, asked, **more):
    """The step of a model that has begun."""
    step = target.submit(asked.request, "trainer", **more)
    Space.until(lambda: begun(asked) == 1)
    return step


def lease(space, priority=5, gpus=1):
    node = space.core.list_node().items[0].metadata.labels["kubernetes.io/hostname"]
    names = tuple(f"k8s/{node}/gpu-{number}" for number in range(gpus))
    return place_of("7f", Grant(node, names, tuple(range(gpus)), "H100-80GB", 1000, 81559), priority)


def test_a_step_runs_in_a_pod_and_nothing_of_it_is_left(target, asked, space):
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED
    result = target.result(step)
    assert result["rows"] == 40
    assert Path(result["table"]).is_relative_to(step.out)
    assert space.empty()
    assert [one for one in space.core.list_namespaced_secret(space.name).items if one.metadata.name.startswith("step-")] == []


def test_its_pod_has_no_rights_its_devices_and_its_secrets_apart(make, asked, space):
    target, asked = make(lease(space)), asked("tells")
    environment = {"TOLD": "very-secret", "NVIDIA_VISIBLE_DEVICES": "k8s/node/gpu-0", "CUDA_VISIBLE_DEVICES": "k8s/node/gpu-0"}
    step = target.submit(asked.request, "trainer", environment, lease=("7f", soon()))
    pod = pod_of(space, step)
    assert "very-secret" not in str(pod)
    assert pod.spec.containers[0].resources.limits[GPU] == "1"
    assert pod.metadata.labels["updraft.io/lease"] == "7f" and pod.spec.priority == 5000
    assert finish(target, step) is StepState.SUCCEEDED
    said = target.log(step, 0, ended=True)[0]
    assert "uid 1000 told very-secret" in said and "Read-only file system" in said
    assert "k8s/node" not in said and "7f" in said


def test_another_worker_finds_the_pod_that_runs(make, asked, space):
    slow = asked("slow")
    step = started(make(), slow)
    before = pod_of(space, step).metadata.uid
    assert make().submit(slow.request, "trainer") == step
    assert pod_of(space, step).metadata.uid == before and begun(slow) == 1
    assert make().state(step) is StepState.RUNNING


def test_a_worker_that_died_before_it_made_the_pod_is_followed_by_one_that_does(make, asked, space, monkeypatch):
    quick = asked("quick")
    monkeypatch.setattr(StepPods, "make_pod", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make().submit(quick.request, "trainer", {"OLD": "1"})
    monkeypatch.undo()
    target = make()
    assert finish(target, target.submit(quick.request, "trainer")) is StepState.SUCCEEDED


def test_a_pod_whose_creation_was_not_answered_is_known(make, asked, space, monkeypatch):
    quick, target = asked("quick"), make()
    create = target._pods.cluster.create_pod

    def twice(body):
        create(body)
        return create(body)

    monkeypatch.setattr(target._pods.cluster, "create_pod", twice)
    step = target.submit(quick.request, "trainer")
    assert finish(target, step) is StepState.SUCCEEDED


def test_submitted_many_times_at_once_it_runs_once(make, asked, settings, space):
    slow = asked("slow")
    threads = [threading.Thread(target=make().submit, args=(slow.request, "trainer")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Space.until(lambda: begun(slow) >= 1)
    assert begun(slow) == 1
    assert list(space.pods()) == [step_of(settings, slow.request.run_key, "table.extract").name]


def test_a_changed_request_ends_the_old_pod_and_starts_anew(target, asked, space):
    slow = asked("slow")
    step = started(target, slow)
    before = pod_of(space, step).metadata.uid
    assert target.submit(replace(slow.request, params={"size": 2}), "trainer") == step
    assert pod_of(space, step).metadata.uid != before
    Space.until(lambda: begun(slow) == 2)


def test_stop_ends_the_pod_with_all_that_the_step_has_started(target, asked, space):
    parent = asked("family")
    step = started(target, parent)
    target.stop(step)
    assert space.empty() and target.state(step) is StepState.FAILED


def test_a_killed_process_has_failed_with_a_sentence_and_is_tried_again(target, asked):
    asked = asked("killed")
    step = target.submit(asked.request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="ended with 137 before it had a result"):
        target.result(step)


def test_the_users_error_is_the_steps(target, asked):
    step = target.submit(asked("raises").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match="no such thing"):
        target.result(step)


@pytest.mark.parametrize("given", [{"memory": "200Mi"}, {"limits": Limits(memory="200MiB", cpus=0.5)}])
def test_one_that_needs_more_memory_than_its_limit_is_told_which(make, asked, given):
    target = make(**given)
    step = target.submit(asked("hog").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"limits\.memory, else connection .*steps\.memory: used more memory than its limit of 200Mi"):
        target.result(step)


def evict(space, name):
    space.core.create_namespaced_pod_eviction(name, space.name, {"metadata": {"name": name}}, _preload_content=False)


def delete(space, name):
    space.core.delete_namespaced_pod(name, space.name, grace_period_seconds=1)


@pytest.mark.parametrize("away", [evict, delete])
def test_a_pod_that_the_cluster_takes_away_is_tried_again(target, asked, space, away):
    slow = asked("slow")
    step = started(target, slow)
    away(space, step.name)
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="taken away"):
        target.result(step)
    target.submit(slow.request, "trainer")
    Space.until(lambda: begun(slow) == 2)


def test_a_node_drained_while_a_step_learns_costs_what_was_not_yet_kept(target, asked, space):
    learns = asked("learns")
    step = started(target, learns)
    Space.until(lambda: list((step.folder.parent / "checkpoints").glob("*/epoch")))
    evict(space, step.name)
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="taken away"):
        target.result(step)
    assert finish(target, target.submit(learns.request, "trainer")) is StepState.SUCCEEDED
    assert "goes on after epoch 1" in target.log(step, 0, ended=True)[0] and begun(learns) == 2


def test_a_pod_that_a_higher_priority_preempts_says_so(make, asked, space):
    free = int(space.core.list_node().items[0].status.allocatable.get(GPU, 0))
    if not free:
        pytest.skip("the node offers no GPUs")
    target, saves = make(lease(space, 3, free)), asked("saves")
    step = started(target, saves, lease=("7f", soon()))
    resources = {"limits": {GPU: str(free), "memory": "64Mi"}, "requests": {"cpu": "10m"}}
    stranger = {"name": "stranger", "image": "localhost/none:1", "imagePullPolicy": "Never", "resources": resources}
    body = {"metadata": {"name": "stranger"}, "spec": {"containers": [stranger], "priorityClassName": "updraft-5"}}
    space.core.create_namespaced_pod(space.name, body)
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="taken away: Preempted by"):
        target.result(step)
    assert any((step.folder.parent / "checkpoints").glob("*/state"))


def test_told_to_stop_under_a_lease_a_step_saves_and_finds_it_again(make, asked, space):
    target, saves = make(lease(space)), asked("saves")
    step = started(target, saves, lease=("l1", soon()))
    target.ask_to_stop(step)
    assert finish(target, step) is StepState.FAILED
    target.submit(saves.request, "trainer", lease=("l2", soon()))
    Space.until(lambda: begun(saves) == 2)
    assert saves.mark.read_text().splitlines() == ["[]", "['state']"]


def test_one_that_will_not_stop_is_killed(target, asked, space):
    deaf = asked("deaf")
    step = started(target, deaf, lease=("l1", soon()))
    target.ask_to_stop(step)
    Space.until(lambda: "Told to stop" in (step.folder / "log.txt").read_text())
    assert target.state(step) is StepState.RUNNING
    target.kill(step)
    assert space.empty() and target.state(step) is StepState.FAILED


def test_a_lease_that_nobody_renews_ends_the_step(target, asked):
    slow = asked("slow")
    step = started(target, slow, lease=("l1", soon()))
    target.keep(step, ("l1", time.monotonic() - 1))
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match="lease was not renewed in time"):
        target.result(step)


def test_the_log_comes_while_the_step_runs(target, asked):
    step = target.submit(asked("slow").request, "trainer")
    log = step.folder / "log.txt"
    Space.until(lambda: log.exists() and "half a" in log.read_text())
    text, offset = target.log(step, 0)
    assert "half a" not in text and text == log.read_text()[:offset]


def test_an_api_server_that_is_away_for_a_while_costs_nothing(make, asked, space, monkeypatch):
    monkeypatch.setattr(module, "AWAY_LOOK_S", 0.5)
    slow = asked("slow")
    with way() as (cut, api):
        target = make(api=api)
        step = started(target, slow)
        before = pod_of(space, step).metadata.uid
        cut.cut()
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert target.state(step) is StepState.RUNNING
            time.sleep(0.3)
        assert "gives no answer" in target.says(step)
        cut.open = True
        Space.until(lambda: target.state(step) is StepState.RUNNING and not target.says(step))
        assert pod_of(space, step).metadata.uid == before and begun(slow) == 1


def test_an_api_server_that_stays_away_is_told_in_the_end(make, asked, monkeypatch):
    monkeypatch.setattr(module, "AWAY_S", 2.0)
    monkeypatch.setattr(module, "AWAY_LOOK_S", 0.5)
    with way() as (cut, api):
        target = make(api=api, patience_s=1.0)
        step = started(target, asked("slow"))
        cut.cut()
        with pytest.raises(ComponentError, match="gives no answer"):
            Space.until(lambda: target.state(step) is not StepState.RUNNING)
        with pytest.raises(ComponentError, match="asked for 1 s"):
            target.stop(step)


def test_an_image_that_is_not_there_is_named(make, asked):
    target = make(image="localhost/{runtime}-none:1")
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"steps\.image: the image localhost/trainer-none:1 is not on the node"):
        target.result(step)


def test_a_registry_that_is_away_is_said_while_it_waits_and_in_the_end(make, asked, monkeypatch):
    monkeypatch.setattr(module, "REGISTRY_S", 4.0)
    target = make(image="127.0.0.1:9/none:1", pull="IfNotPresent")
    step = target.submit(asked("quick").request, "trainer")
    Space.until(lambda: target.state(step) is StepState.RUNNING and "127.0.0.1:9/none:1 can't be started" in target.says(step))
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(ComponentError, match=r"registry: the image 127\.0\.0\.1:9/none:1 can't be fetched: .*refused"):
        target.result(step)


def test_a_cluster_without_room_is_said_while_the_step_waits(make, asked):
    target = make(cpu="900")
    step = target.submit(asked("quick").request, "trainer")
    Space.until(lambda: target.state(step) is StepState.RUNNING and "Insufficient cpu" in target.says(step))
    target.stop(step)


def test_an_interpreter_that_is_not_in_the_image_is_told(make, asked):
    target = make(python="/nowhere/python")
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"can't be started: .*/nowhere/python"):
        target.result(step)


def test_a_volume_that_is_not_the_workers_is_told(make, asked, settings):
    other = settings.home / "elsewhere"
    other.mkdir(exist_ok=True)
    target = make(volume={"host_path": str(other)})
    step = target.submit(asked("quick").request, "trainer")
    assert finish(target, step) is StepState.FAILED
    with pytest.raises(InputError, match=r"steps\.volume: does not see its folder"):
        target.result(step)


def test_a_claim_may_hold_the_steps(make, asked, space, settings):
    name = f"{space.name}-steps"
    size = {"storage": "1Gi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    source = {"hostPath": {"path": str(settings.home)}, "capacity": size, "persistentVolumeReclaimPolicy": "Retain"}
    space.core.create_persistent_volume({"metadata": {"name": name}, "spec": common | source})
    claim = {"metadata": {"name": "steps"}, "spec": common | {"volumeName": name, "resources": {"requests": size}}}
    try:
        space.core.create_namespaced_persistent_volume_claim(space.name, claim)
        target = make(volume={"claim": "steps", "sub_path": settings.steps.name})
        assert finish(target, target.submit(asked("quick").request, "trainer")) is StepState.SUCCEEDED
    finally:
        space.core.delete_persistent_volume(name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small disk")
def test_a_volume_that_is_full_is_named(make, asked, space, models, settings):
    home = Path(tempfile.mkdtemp(prefix="ud-")).resolve()
    small = replace(settings, home=home)
    small.steps.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", str(small.steps)], check=True)
    try:
        target = KubernetesTarget(small, space.api, space.name, options(small, models), None, None, 60.0)
        step = target.submit(asked("large").request, "trainer")
        assert finish(target, step) is StepState.FAILED
        with pytest.raises(ComponentError, match=r"No space left on device|is full") as told:
            target.result(step)
        assert "Make room" in told.value.remedy
    finally:
        Space.until(lambda: not subprocess.run(["umount", str(small.steps)], check=False).returncode)
        shutil.rmtree(home)


def test_mlflow_is_where_the_connection_says_and_the_champion_comes_along(make, asked, settings):
    champion = settings.home / "bundles" / "3"
    champion.mkdir(parents=True, mode=0o700)
    (champion / "model.onnx").write_text("served")
    target, tells = make(mlflow="http://mlflow.prod:5000"), asked("reads")
    request = replace(tells.request, inputs={"champion": str(champion), "mlflow_run_id": "7f"})
    step = target.submit(request, "trainer", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:8050"})
    assert finish(target, step) is StepState.SUCCEEDED
    assert "served at http://mlflow.prod:5000" in target.log(step, 0, ended=True)[0]
    assert target.submit(request, "trainer") == step and target.finished(request, "trainer")


def test_with_simulated_gpus_only_a_leased_step_needs_none_of_the_clusters(make):
    ask = Ask(gpus=1)
    assert make(simulated_gpus=True).narrow(ask) == ask != make().narrow(ask)


# Kueue, by the shape of its objects: no controller of it runs here.


@pytest.fixture(scope="module")
def kueue(space) -> Iterator[None]:
    from kubernetes import client

    extensions, made = client.ApiextensionsV1Api(space.api), []
    for singular, plural, scope in (("ClusterQueue", "clusterqueues", "Cluster"), ("LocalQueue", "localqueues", "Namespaced")):
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1beta1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
        names = {"kind": singular, "plural": plural, "singular": singular.lower()}
        note = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"}
        body = {"metadata": {"name": f"{plural}.kueue.x-k8s.io", "annotations": note}}
        body |= {"spec": {"group": "kueue.x-k8s.io", "scope": scope, "names": names, "versions": [version]}}
        with suppress(client.ApiException):  # somebody else has made it
            extensions.create_custom_resource_definition(body)
            made.append(body["metadata"]["name"])
    custom = client.CustomObjectsApi(space.api)

    def there() -> bool:
        with suppress(client.ApiException):
            queue = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "LocalQueue", "metadata": {"name": "team-a"}}
            custom.create_namespaced_custom_object(
                "kueue.x-k8s.io", "v1beta1", space.name, "localqueues", queue | {"spec": {"clusterQueue": "gpus"}}
            )
            return True
        return False

    Space.until(there)
    yield
    for name in made:
        extensions.delete_custom_resource_definition(name)


def test_a_step_of_a_local_queue_carries_its_label(kueue, make, asked, space):
    target = make(queue="team-a")
    step = target.submit(asked("quick").request, "trainer")
    assert pod_of(space, step).metadata.labels["kueue.x-k8s.io/queue-name"] == "team-a"
    assert finish(target, step) is StepState.SUCCEEDED


def test_a_local_queue_that_is_not_there(kueue, make, quick, space):
    said = refusal(space, make(queue="team-b"), quick)
    assert f"steps.queue: namespace {space.name} has no LocalQueue team-b" in said
    api = connect()
    api.set_default_header("Impersonate-User", f"system:serviceaccount:{space.name}:default")
    make(queue="team-b", api=api)._pods.cluster.check_queue("team-b")  # who may not look can't tell


# What the cluster refuses: said at once, by name, and nothing of the step is left.


@pytest.fixture
def quick(asked):
    return asked("quick").request


def refusal(space, target, request) -> str:
    with pytest.raises(InputError) as told:
        target.submit(request, "trainer")
    assert told.value.remedy
    assert not [one for one in space.core.list_namespaced_secret(space.name).items if one.metadata.name.startswith("step-")]
    return str(told.value)


def test_a_namespace_that_is_not_there(make, quick, space):
    assert "namespace updraft-none: does not exist" in refusal(space, make(namespace="updraft-none"), quick)


def test_a_right_that_is_missing_is_named_by_verb_and_resource(make, quick, space):
    api = connect()
    api.set_default_header("Impersonate-User", f"system:serviceaccount:{space.name}:default")
    said = refusal(space, make(api=api), quick)
    assert f"namespace {space.name}: " in said and "may not get pods" in said and "--verb=get --resource=pods" in said


def test_a_service_account_or_priority_class_that_is_not_there(make, quick, space):
    assert "no service account nobody" in refusal(space, make(service_account="nobody"), quick)
    assert "no PriorityClass updraft-11" in refusal(space, make(lease(space, 11)), quick)


def test_a_quota_that_is_used_up(make, quick, space):
    space.core.create_namespaced_resource_quota(space.name, {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "1"}}})
    try:
        Space.until(lambda: space.core.read_namespaced_resource_quota("small", space.name).status.hard)
        assert "quota is used up: small, requested: requests.cpu=2" in refusal(space, make(cpu="2"), quick)
    finally:
        space.core.delete_namespaced_resource_quota("small", space.name)


def test_mlflow_on_loopback_is_out_of_a_pods_reach(target, quick, space):
    with pytest.raises(InputError, match=r"connection updraft_door: .*127\.0\.0\.1"):
        target.submit(quick, "trainer", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:8050"})
    assert space.empty()
