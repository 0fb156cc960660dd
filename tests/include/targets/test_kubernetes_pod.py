"""A step's pod as data, and the words for what becomes of it; what a cluster at hand can't show is made up in the API's own terms."""

import copy
from pathlib import Path

import pytest

from include.errors import ComponentError, InputError
from include.kubernetes import words
from include.pool.grants import kubernetes
from include.pool.state import Grant
from include.spec.parts import Limits
from include.targets import images
from include.targets.kubernetes_options import Options
from include.targets.kubernetes_pod import StepPod, render, secret
from tests.manifests import check

GIVEN = {"image": "registry/updraft/{runtime}:1", "volume": {"claim": "updraft-steps"}}
FOLDER = Path("/home/steps/run/train")
MIG = Grant("prod/node-7", ("k8s/node-7/mig-3g.40gb-1",), (1,), "H100-80GB 3g.40gb", 1000, 40448)


def read(**more) -> Options:
    return Options.read({"steps": GIVEN | more})


def pod(options=None, place=None) -> dict:
    step = StepPod("step-1-train", "digits/1", "trainer", FOLDER, Path("/home/steps"), {"A": "b"}, 1000, "7", place)
    return render(step, (options or read()).of("trainer"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mounts": [{"path": "/models", "claim": "models", "sub_path": "a"}, {"path": "/code", "host_path": "/code"}]},
        {"spot": {"cloud/spot": "true"}, "queue": "team-a", "pull_secrets": ["registry"], "node_selector": {"disk": "ssd"}},
        {"tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]},
    ],
)
@pytest.mark.parametrize("place", [None, kubernetes("7f", MIG, 8)])
def test_every_pod_is_as_kubernetes_wants_it(options, place):
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    assert check(pod(read(**options), place)) == ""


def test_a_secret_is_as_kubernetes_wants_it():
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    step = StepPod("step-1-train", "digits/1", "trainer", FOLDER, Path("/home/steps"), {}, 1000, "7")
    assert check(secret(step, {"PASSWORD": "x"})) == ""


def test_of_a_mounted_folder_of_models_a_pod_sees_what_it_needs_alone():
    models = {"path": "/srv/models", "claim": "models", "sub_path": "a", "read_only": False}
    options = read(mounts=[models, {"path": "/srv", "host_path": "/srv"}]).of("trainer")
    needs = (Path("/srv/models/digits"), Path("/srv/models/digits/data"), Path("/srv/models/kept"), Path("/elsewhere"))
    step = StepPod("step-1-train", "digits/1", "trainer", FOLDER, Path("/home/steps"), {}, 1000, "7", needs=needs)
    found = {mount["mountPath"]: mount.get("subPath") for mount in render(step, options)["spec"]["containers"][0]["volumeMounts"]}
    assert found == {
        "/tmp": None,
        "/home/steps/run": "run",
        "/srv/models/digits": "a/digits",
        "/srv/models/kept": "a/kept",
        "/srv": None,
    }


def test_a_pod_keeps_to_the_strictest_standard():
    spec = pod()["spec"]
    container = spec["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["readOnlyRootFilesystem"] and container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"] and not spec["automountServiceAccountToken"]
    assert container["image"] == "registry/updraft/trainer:1"
    assert {"name": "steps", "mountPath": "/home/steps/run", "readOnly": False, "subPath": "run"} in container["volumeMounts"]


def test_a_lease_is_devices_a_node_a_priority_and_a_label():
    found = pod(read(spot={"cloud/spot": "true"}), kubernetes("7f", MIG, 8))
    assert found["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "1"
    assert found["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "node-7"}
    assert found["spec"]["priorityClassName"] == "updraft-8"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in found["spec"]["tolerations"]
    assert found["metadata"]["labels"]["updraft.io/lease"] == "7f"
    assert "affinity" not in found["spec"]  # its node is said


def test_spot_nodes_are_preferred_and_kueue_is_told_its_queue():
    found = pod(read(spot={"cloud/spot": "true"}, queue="team-a"))
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    (wish,) = found["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish["preference"]["matchExpressions"] == [{"key": "cloud/spot", "operator": "In", "values": ["true"]}]


def test_a_runtime_may_have_its_own():
    options = read(runtimes={"llm": {"memory": "64Gi", "image": "big/{runtime}:2"}})
    assert (options.of("llm").memory, options.of("llm").image) == ("64Gi", "big/llm:2")
    assert (options.of("trainer").memory, options.of("trainer").image) == ("4Gi", "registry/updraft/trainer:1")


def test_an_image_may_be_named_by_its_lock_as_make_images_names_it():
    options = read(image="updraft/{runtime}:{lock}")
    assert options.of("trainer").image == images.name("trainer") != options.of("llm").image == images.name("llm")


def test_with_a_models_own_packages_a_pods_first_process_is_the_runtimes_own_python():
    """Files of a package run as its Python starts: ports are given up before."""
    layer = "trainer+0123456789abcdef"
    step = StepPod("step-1-train", "digits/1", layer, FOLDER, Path("/home/steps"), {}, 1000, "7")
    made = render(step, read(image="updraft/{runtime}:{lock}").of(layer))
    first, *told = made["spec"]["containers"][0]["command"]
    assert first == str(images.python("trainer")) and told == ["-m", "include.steps.contained", str(FOLDER), "python"]
    assert made["metadata"]["labels"]["updraft.io/runtime"] == "trainer"
    assert pod()["spec"]["containers"][0]["command"] == ["python", "-m", "include.steps.contained", str(FOLDER)]
    assert check(made) == ""


def test_a_specs_limits_go_before_the_connections():
    options = read(runtimes={"trainer": {"memory": "64Gi"}}).of("trainer", Limits(memory="1.5 GiB", cpus=2.5))
    step = StepPod("step-1-train", "digits/1", "trainer", FOLDER, Path("/home/steps"), {}, 1000, "7")
    resources = render(step, options)["spec"]["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {"memory": "1.5Gi", "cpu": "2.5"}


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({}, "has no field 'steps'"),
        ({"steps": {"image": "a"}}, r"steps\.volume: Field required"),
        ({"steps": GIVEN | {"volume": {}}}, r"steps\.volume: .*one of claim and host_path"),
        ({"steps": GIVEN | {"memory": "lots"}}, r"steps\.memory"),
        ({"steps": GIVEN | {"mlflow": "mlflow.prod:5000"}}, r"steps\.mlflow"),
        ({"steps": GIVEN | {"mlflow": "http://admin:secret@mlflow:5000"}}, r"steps\.mlflow"),
        ({"steps": GIVEN | {"memroy": "4Gi"}}, r"steps\.memroy"),
        ({"steps": GIVEN | {"mounts": [{"claim": "a", "path": "b"}]}}, r"steps\.mounts\.0\.path"),
        ({"steps": "image"}, "steps"),
    ],
)
def test_a_wrong_extra_names_the_field(extra, says):
    with pytest.raises(InputError, match=says) as told:
        Options.read(extra)
    assert "connection updraft_kubernetes" in told.value.where and told.value.remedy


# Words.


def seen(phase="Pending", state=None, conditions=(), **status) -> dict:
    found = copy.deepcopy(pod(read(queue="team-a")))
    found["metadata"]["uid"] = "u1"
    found["spec"]["nodeName"] = "node-7"
    found["status"] = {"phase": phase, "conditions": list(conditions), **status}
    if state:
        found["status"]["containerStatuses"] = [{"name": "step", "state": state}]
    return found


def event(reason, message, uid="u1") -> dict:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}}


def unscheduled(reason, message) -> dict:
    return seen(conditions=[{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}])


def pulling(message) -> dict:
    return seen(state={"waiting": {"reason": "ImagePullBackOff", "message": message}})


LOST = seen("Running", {"running": {}}, [{"type": "Ready", "status": "False"}])
NEW = seen(state={"waiting": {"reason": "ContainerCreating"}})


@pytest.mark.parametrize(
    ("one", "events", "says"),
    [
        (unscheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), [], "No node has room for it: 0/3 nodes"),
        (unscheduled("SchedulingGated", "Scheduling is blocked"), [], "Waits to be admitted to team-a."),
        (NEW, [event("FailedMount", "claim is lost")], "Its volume can't be mounted: claim is lost"),
        (NEW, [event("Pulling", "x")], "The node node-7 pulls the image registry/updraft/trainer:1."),
        (NEW, [event("FailedCreatePodSandBox", "no network")], "The node node-7 can't start it: no network"),
        (NEW, [], ""),
        (LOST, [], "Its node node-7 does not answer"),
        (seen("Running", {"running": {}}, [{"type": "Ready", "status": "True"}]), [], ""),
        (
            pulling('Back-off pulling image "x"'),
            [event("Failed", "manifest unknown"), event("Failed", "Error: ImagePullBackOff")],
            "can't be started: manifest unknown",
        ),
    ],
)
def test_why_it_waits_in_a_sentence(one, events, says):
    found = words.waiting(one, events)
    assert found == says if not says else says in found


@pytest.mark.parametrize(
    ("complaint", "patient", "error", "says"),
    [
        ("manifest unknown", True, InputError, "can't be fetched: manifest unknown"),
        ("pull access denied", True, InputError, "denied"),
        ("dial tcp: lookup registry: no such host", True, None, ""),
        ("dial tcp: lookup registry: no such host", False, ComponentError, "no such host"),
        ("no match for platform in manifest", True, InputError, "another kind of processor than that of node node-7"),
    ],
)
def test_what_will_never_start(complaint, patient, error, says):
    found = words.hopeless(pulling("Back-off"), [event("Failed", complaint)], patient=patient)
    assert found is None if error is None else isinstance(found, error) and says in str(found)


def test_a_deleted_secret_is_nobodys_input():
    one = seen(state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "step-1-train" not found'}})
    assert isinstance(words.hopeless(one, [], patient=True), ComponentError)


def over(phase="Failed", end=None, **status) -> dict:
    return seen(phase, {"terminated": end} if end else None, **status)


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "message": "node-7: taint out-of-service"}]


@pytest.mark.parametrize(
    ("one", "events", "error", "says"),
    [
        (over(end={"exitCode": 137, "reason": "OOMKilled"}), [], InputError, "its limit of 4Gi and was killed (OOMKilled)"),
        (over(reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds the limit "10Gi".'), [], InputError, "temporary files"),
        (over(reason="Evicted", message="The node was low on resource: memory."), [], ComponentError, "low on resource: memory"),
        (over(end={"exitCode": 143}, conditions=DISRUPTED), [], ComponentError, "taint out-of-service"),
        (over("Succeeded", end={"exitCode": 0}), [], InputError, "steps.volume"),
        (over(end={"exitCode": 1, "message": "OSError: [Errno 28] No space left on device: '/home/a'"}), [], ComponentError, "is full"),
        (over(end={"exitCode": 1, "message": "exec /bin/python: exec format error"}), [], InputError, "another kind of processor"),
        (
            over(end={"exitCode": 3, "message": "last words"}),
            [],
            ComponentError,
            "ended with 3 before it had a result; its last words: last words",
        ),
        (seen("Running"), [event("Preempted", "Preempted by a/b on node node-7")], ComponentError, "taken away: Preempted by a/b"),
        (seen("Running"), [event("Preempted", "another pod", "u0")], ComponentError, "deleted from outside"),
        (None, [], ComponentError, "taken away: deleted from outside"),
    ],
)
def test_why_it_ended_in_a_sentence(one, events, error, says):
    found = words.ended(one, events, read(), str(FOLDER))
    assert type(found) is error and says in str(found), str(found)
    assert found.remedy
