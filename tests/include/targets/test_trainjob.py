"""Training on several nodes as Kubeflow's jobs: the objects against their own models and Kubernetes' schemas, and a real training of two
pods on a real cluster, whose controller is played by :mod:`tests.include.targets.kubeflow`."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import ComponentError, InputError
from include.pool.grants import POD_DEVICES, kubernetes_gang
from include.pool.state import Grant
from include.runtime.settings import Settings
from include.targets import trainjob_objects as objects
from include.targets.kubernetes_options import Options
from include.targets.kubernetes_pod import QUEUE, StepPod
from include.targets.step_pods import name_of
from include.targets.target import Step, StepState
from include.targets.trainjob import GangTarget, _Seen
from tests.include.targets import cluster, kubeflow
from tests.include.targets.gangs import Pair
from tests.manifests import check
from tests.waiting import until

GIVEN = {"image": "registry/updraft/{runtime}:1", "volume": {"claim": "updraft-steps"}, "trainer": "trainjob"}
GRANTS = [Grant(f"prod/node-{n}", (f"k8s/node-{n}/gpu-0", f"k8s/node-{n}/gpu-1"), (0, 1), "H100", 1000, 81920) for n in (7, 8)]


def rendered(kind: str, place=None, **options) -> list:
    folder = Path("/home/steps/run/train")
    pod = StepPod("step-1-train", "digits/1", "llm", folder, Path("/home/steps"), {"A": "b"}, 1000, "7", place, shared=True)
    return objects.render(pod, Options.read({"steps": GIVEN | options}).of("llm"), 2, kind)


def template_of(kind: str, body: dict) -> dict:
    if kind == "pytorchjob":
        return body["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    return body["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]


@pytest.mark.parametrize("place", [None, kubernetes_gang("7f", GRANTS, 8)])
@pytest.mark.parametrize("kind", ["trainjob", "pytorchjob"])
def test_pods_are_as_kubernetes_wants_them(kind, place):
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    template = template_of(kind, rendered(kind, place)[0][1])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"] | {"name": "a"}, "spec": template["spec"]}
    assert check(pod) == ""
    assert template["spec"]["containers"][0]["name"] == objects.CONTAINERS[kind]
    assert template["spec"]["securityContext"]["runAsNonRoot"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in template["spec"]["containers"][0]["volumeMounts"]  # NCCL's default is too small


def test_a_trainjob_and_its_runtime_are_as_kubeflow_s_own_models_want_them():
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="kubeflow-trainer-api is not installed")
    (_, runtime), (_, job) = rendered("trainjob", kubernetes_gang("7f", GRANTS, 8), queue="team-a")
    for model, body in ((models.TrainerV1alpha1TrainingRuntime, runtime), (models.TrainerV1alpha1TrainJob, job)):
        known = model.from_dict(body).to_dict()
        assert unknown(body, json.loads(json.dumps(known, default=str))) == []


def unknown(given, known, at: str = "") -> list[str]:
    """Fields that the models have dropped, because they don't know them."""
    if isinstance(given, dict) and isinstance(known, dict):
        gone = [f"{at}.{name}" for name in given if name not in known]
        return gone + [one for name in given if name in known for one in unknown(given[name], known[name], f"{at}.{name}")]
    if isinstance(given, list) and isinstance(known, list):
        return [one for n, (a, b) in enumerate(zip(given, known, strict=True)) for one in unknown(a, b, f"{at}[{n}]")]
    return []


@pytest.mark.parametrize("kind", ["trainjob", "pytorchjob"])
def test_a_gang_s_lease_puts_one_pod_with_its_devices_on_each_of_its_nodes(kind):
    template = template_of(kind, rendered(kind, kubernetes_gang("7f", GRANTS, 8))[0][1])
    affinity, container = template["spec"]["affinity"], template["spec"]["containers"][0]
    term = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-7", "node-8"]}
    apart = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert apart["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2" and template["spec"]["priorityClassName"] == "updraft-8"
    assert template["metadata"]["annotations"][POD_DEVICES].count(",") == 3 and "nodeSelector" not in template["spec"]


@pytest.mark.parametrize("kind", ["trainjob", "pytorchjob"])
def test_a_queue_admits_the_job_and_not_its_pods_one_by_one(kind):
    made = rendered(kind, queue="team-a")
    assert made[-1][1]["metadata"]["labels"][QUEUE] == "team-a"
    assert QUEUE not in template_of(kind, made[0][1])["metadata"]["labels"]


def test_without_a_trainer_several_nodes_are_refused_by_the_field():
    options = Options.read({"steps": {name: value for name, value in GIVEN.items() if name != "trainer"}})
    with pytest.raises(InputError, match="names nothing that starts training") as told:
        GangTarget(Settings.load(), object(), "default", options)
    assert "steps.trainer" in told.value.where


@pytest.fixture(scope="module")
def space() -> Iterator[cluster.Space]:
    found = cluster.Space()
    kubeflow.install(found.api)
    yield found
    found.close()


@pytest.fixture
def settings(tmp_path) -> Settings:
    found = replace(Settings.load(), home=tmp_path / "home")
    found.steps.mkdir(parents=True)
    tmp_path.chmod(0o755)
    return found


def target_on(space: cluster.Space, settings: Settings, models: Path, kind: str) -> GangTarget:
    options = cluster.options(settings, models, trainer=kind, memory="2Gi", grace_s=5)
    return GangTarget(settings, space.api, space.name, options)


def mlflow_in(folder: Path) -> tuple[str, str]:
    """A database and a run of it; the pods write to it as user 1000."""
    import mlflow

    url = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(url)
    experiment = client.create_experiment("one", artifact_location=str(folder / "artifacts"))
    run = client.create_run(experiment).info.run_id
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    return url, str(run)


def submitted(target: GangTarget, pair: Pair, url: str):
    step = target.submit(pair.request, "llm", {"MLFLOW_TRACKING_URI": url, "PYTHONDONTWRITEBYTECODE": "1"})
    return step, name_of(step)


@cluster.needs_cluster
@pytest.mark.parametrize("kind", ["trainjob", "pytorchjob"])
def test_two_pods_train_one_model_and_a_new_worker_finds_them(space, settings, tmp_path, kind):
    models = tmp_path / "models"
    pair = Pair(models, nodes=2)
    url, run = mlflow_in(models)
    pair.request.inputs["mlflow_run_id"] = run
    first = target_on(space, settings, models, kind)
    step, name = submitted(first, pair, url)
    controller = kubeflow.Controller(space, kind, name)
    assert first.state(step) is StepState.RUNNING
    controller.make_pods()
    following = threading.Thread(target=controller.follow)
    following.start()
    again = target_on(space, settings, models, kind)  # the worker died
    assert submitted(again, pair, url)[0] == step
    try:
        until(lambda: again.state(step) is not StepState.RUNNING, 400)
    finally:
        following.join()
    text, offset, said = "", -1, ""
    at = 0
    while offset != at:
        offset = at
        said, at = again.log(step, at, ended=True)
        text += said
    assert again.state(step) is StepState.SUCCEEDED, text
    assert "[rank 0] begins at step 0 of 20, 2 workers" in text and "[rank 1] begins at step 0 of 20, 2 workers" in text
    result = again.result(step)
    assert Path(result["model"]).is_file() and result["metrics"]["accuracy"] > 0.5
    assert space.empty() and again._jobs.find(again._resource, name) is None


@cluster.needs_cluster
def test_what_a_pod_says_of_itself_is_the_step_s_error(space, settings, tmp_path):
    models = tmp_path / "models"
    pair = Pair(models, "raises", nodes=2)
    url, pair.request.inputs["mlflow_run_id"] = mlflow_in(models)
    target = target_on(space, settings, models, "trainjob")
    step, name = submitted(target, pair, url)
    controller = kubeflow.Controller(space, "trainjob", name)
    controller.make_pods()
    controller.follow()
    until(lambda: target.state(step) is StepState.FAILED, 60)
    with pytest.raises(InputError, match="the last one has had enough"):
        target.result(step)
    assert space.empty()


@cluster.needs_cluster
def test_a_pod_that_is_taken_away_is_tried_again_from_the_checkpoint_and_a_cleared_task_leaves_nothing(space, settings, tmp_path):
    models = tmp_path / "models"
    pair = Pair(models, "waits", nodes=2)
    url, pair.request.inputs["mlflow_run_id"] = mlflow_in(models)
    target = target_on(space, settings, models, "pytorchjob")
    step, name = submitted(target, pair, url)
    controller = kubeflow.Controller(space, "pytorchjob", name)
    controller.make_pods()
    kept = step.folder.parent / "checkpoints"
    until(lambda: any(path.stat().st_size for path in kept.glob("*/state.pt")) and "at step 0" in log_of(step), 300)
    time.sleep(5)  # the last worker sleeps at step 10, the first waits for it
    assert target.state(step) is StepState.RUNNING
    space.core.delete_namespaced_pod(controller.pods[1], space.name, grace_period_seconds=1)
    controller.follow()
    until(lambda: target.state(step) is StepState.FAILED, 60)
    with pytest.raises(ComponentError, match=r"a worker was killed|its pod on node .* was taken away"):
        target.result(step)
    assert space.empty()
    step, name = submitted(target, pair, url)
    kubeflow.Controller(space, "pytorchjob", name).make_pods()
    until(lambda: "begins at step 10 of 20" in log_of(step), 300)
    target.kill(step)
    assert target._jobs.find(target._resource, name) is None and space.empty()


def log_of(step: Step) -> str:
    path = step.folder / "log.txt"
    return path.read_text() if path.exists() else ""


@cluster.needs_cluster
def test_a_job_that_waits_says_for_what(space, settings, tmp_path, monkeypatch):
    models = tmp_path / "models"
    pair = Pair(models, nodes=2, run_id="none")
    target = target_on(space, settings, models, "trainjob")
    step, name = submitted(target, pair, "sqlite:////nowhere.db")
    monkeypatch.setattr("include.targets.trainjob.TAKEN_UP_S", 0.0)
    assert target.state(step) is StepState.RUNNING
    assert "does its controller run?" in target.says(step)
    kubeflow.Controller(space, "trainjob", name).say("Suspended")
    until(lambda: target.state(step) is StepState.RUNNING and "Waits to be admitted" in target.says(step), 30)
    target.stop(step)
    assert time.monotonic() and target.state(step) is StepState.FAILED


@cluster.needs_cluster
def test_a_cluster_without_the_trainer_names_the_field(space, settings, tmp_path, monkeypatch):
    monkeypatch.setitem(objects.JOBS, "pytorchjob", ("kubeflow.org", "nosuchjobs"))
    monkeypatch.setattr(objects, "PYTORCHJOBS", ("kubeflow.org", "nosuchjobs"))
    pair = Pair(tmp_path / "models", nodes=2, run_id="none")
    target = target_on(space, settings, tmp_path / "models", "pytorchjob")
    with pytest.raises(InputError, match=r"has no nosuchjobs\.kubeflow\.org") as told:
        submitted(target, pair, "sqlite:////nowhere.db")
    assert "steps.trainer" in told.value.where


def test_what_somebody_must_mend_is_said_of_a_gang_rather_than_that_its_peers_went():
    def pod(number: int, end: dict) -> dict:
        state = {"terminated": {"finishedAt": f"2026-01-01T00:00:0{number}Z", **end}}
        spec = {"nodeName": f"node-{number}", "containers": [{"image": "a"}]}
        status = {"phase": "Failed", "containerStatuses": [{"state": state}]}
        return {"metadata": {"name": f"p-{number}", "uid": str(number), "labels": {}}, "spec": spec, "status": status}

    target = GangTarget(Settings.load(), connectionless(), "default", Options.read({"steps": GIVEN}))
    step = Step("step-1-train", Path("/home/steps/run/train"))
    went = [pod(1, {"exitCode": 1, "message": "peer"}), pod(2, {"exitCode": 137, "reason": "OOMKilled"})]
    job = {"metadata": {"labels": {}}, "status": {"conditions": [{"type": "Failed", "status": "True", "message": "m"}]}}
    target._gangs[step.name] = _Seen(job, True, went, looked_at=float("inf"))
    told = {"reason": "Preempted", "message": "by a higher one", "involvedObject": {"uid": "3"}}
    target._jobs.events = lambda name: [told] if name == "p-3" else []
    error = target.failure(step)
    assert isinstance(error, InputError) and "OOMKilled" in error.what
    target._gangs[step.name] = _Seen(job, True, went[:1], looked_at=float("inf"))
    assert isinstance(target.failure(step), ComponentError) and "ended with 1" in target.failure(step).what
    gone = pod(3, {})
    gone["status"] = {"phase": "Running"}
    target._gangs[step.name] = _Seen(job, True, went[:1], [gone], looked_at=float("inf"))
    assert "its pod on node node-3 was taken away: by a higher one" in target.failure(step).what


def connectionless():
    from kubernetes.client import ApiClient, Configuration

    return ApiClient(Configuration(host="http://127.0.0.1:9"))
