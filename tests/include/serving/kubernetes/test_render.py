"""A model's revision as Kubernetes objects."""

from dataclasses import replace

import pytest
import yaml

from include.errors import InputError
from include.kinds.load import load
from include.pool.grants import KubernetesPlace
from include.runtime.settings import REPO
from include.serving.kubernetes.__main__ import main
from include.serving.kubernetes.deployment import revision
from include.serving.kubernetes.options import ClusterOptions
from include.serving.kubernetes.routes import RENDERERS, Split, weights
from include.serving.kubernetes.server import Workload
from include.spec.parts import Limits, Replicas
from include.targets import images
from tests.manifests import OTHERS, check, rendered, written

GPU_SPEC = """
name: chatty
kind: llm
base: Qwen/Qwen2.5-7B-Instruct
data: {source: chats.jsonl}
serve:
  backend: vllm
  arguments: {tensor-parallel-size: 2}
  context: 4096
  resources: {%s, priority: 7, labels: {zone: a}}
"""


def server(model="digits", version=3, **options) -> Workload:
    spec = load(REPO / "include" / "models" / model / "model.yaml")
    return Workload(spec.name, spec.serve, version, ClusterOptions(**options))


def printed(capsys, *arguments) -> dict[str, list[dict]]:
    assert main(["render", *arguments]) == 0
    found: dict[str, list[dict]] = {}
    for document in yaml.safe_load_all(capsys.readouterr().out):
        found.setdefault(document["kind"], []).append(document)
    return found


def test_a_specs_limits_go_before_the_clusters_and_the_image_may_be_named_by_its_lock():
    spec = load(REPO / "include" / "models" / "digits" / "model.yaml")
    limited = spec.serve.model_copy(update={"limits": Limits(memory="1.5 GiB", cpus=0.5)})
    container = Workload(spec.name, limited, 1, ClusterOptions(image="updraft/{runtime}:{lock}")).container("server")
    assert container["resources"] == {"requests": {"cpu": "0.5", "memory": "1.5Gi"}, "limits": {"cpu": "0.5", "memory": "1.5Gi"}}
    assert container["image"] == images.name("triton")


def test_every_object_is_as_kubernetes_wants_it():
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    found = {**written(), **rendered()}
    problems = [(source, document["kind"], check(document)) for source, documents in found.items() for document in documents]
    assert [problem for problem in problems if problem[2]] == []


def test_the_check_finds_what_is_wrong():
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}
    assert "prots" in check(service)
    assert "autoscaling/v2beta2" in check({"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler"})


def test_a_revision_is_all_that_serves_scales_and_survives_a_drain(capsys):
    found = printed(capsys, "digits", "--version", "3")
    assert set(found) == {
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "HTTPRoute",
    }
    deployment, scaler = found["Deployment"][0], found["HorizontalPodAutoscaler"][0]
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"] == "revision-digits-3"
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/models/digits/versions/3/ready"
    start = container["startupProbe"]
    assert start["failureThreshold"] * start["periodSeconds"] >= server().serve.start_timeout_s
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == "nv_inference_pending_request_count"
    assert found["PodDisruptionBudget"][0]["spec"]["selector"] == deployment["spec"]["selector"]
    for document in [*found["Deployment"], *found["Service"], *found["HorizontalPodAutoscaler"], *found["PodDisruptionBudget"]]:
        assert document["metadata"]["labels"]["updraft.io/revision"] == "3"


def test_a_spec_that_allows_several_servers_bounds_the_autoscaler_and_a_lease_is_for_one():
    spec = load(REPO / "include" / "models" / "digits" / "model.yaml")
    several = spec.serve.model_copy(update={"replicas": Replicas(min=2, max=6)})
    workload = Workload(spec.name, several, 1, ClusterOptions(min_replicas=1, max_replicas=4))
    (scaler,) = [one for one in revision(workload) if one["kind"] == "HorizontalPodAutoscaler"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)
    usual = Workload(spec.name, spec.serve, 1, ClusterOptions(min_replicas=1, max_replicas=4))
    assert (usual.least, usual.most, usual.scales) == (1, 4, True)
    leased = replace(workload, lease=KubernetesPlace({}, {}, (), "", {}, {}, {}))
    assert (leased.least, leased.most, leased.scales) == (1, 1, False)


def test_two_versions_share_no_object_and_no_pod(capsys):
    found = printed(capsys, "digits", "--version", "3", "--canary-version", "4", "--weight", "25")
    first, second = (document["spec"]["selector"]["matchLabels"] for document in found["Deployment"])
    assert first != second
    names = [(kind, one["metadata"]["name"]) for kind, documents in found.items() for one in documents]
    assert len(set(names)) == len(names)
    assert weights(found["HTTPRoute"]) == {"revision-digits-3": 75, "revision-digits-4": 25}


@pytest.mark.parametrize("renderer", ["httproute", "ingress-nginx"])
@pytest.mark.parametrize("weight", [0, 10, 100])
def test_a_canarys_weight_is_written_and_read_back(renderer, weight):
    split = Split(server(), server(version=4), weight)
    assert weights(RENDERERS[renderer](split)) == {"revision-digits-3": 100 - weight, "revision-digits-4": weight}


@pytest.mark.parametrize("renderer", ["httproute", "ingress-nginx"])
def test_without_a_canary_all_goes_to_stable(renderer):
    assert weights(RENDERERS[renderer](Split(server()))) == {"revision-digits-3": 100}


def test_one_server_needs_no_autoscaler_and_no_budget_and_no_claim_where_the_folder_is_the_nodes(capsys):
    found = printed(capsys, "digits", "--max-replicas", "1", "--host-path", "/srv/revisions", "--canary", "none")
    assert set(found) == {"Deployment", "Service"}
    (models,) = [one for one in found["Deployment"][0]["spec"]["template"]["spec"]["volumes"] if one["name"] == "models"]
    assert models["hostPath"] == {"path": "/srv/revisions", "type": "Directory"}


def test_a_language_model_is_reached_by_its_name_and_on_openais_paths_alone():
    (route,) = RENDERERS["httproute"](Split(server("tinychat")))
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/tinychat/v1"}}]
    assert rule["filters"][0]["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1"}


@pytest.mark.parametrize(
    ("resources", "limit"),
    [("gpus: 2", ("nvidia.com/gpu", "2")), ("mig: 3g.40gb", ("nvidia.com/mig-3g.40gb", "1")), ("fraction: 0.25", ("nvidia.com/gpu", "1"))],
)
def test_gpus_are_limits_a_priority_and_labels_of_the_node(tmp_path, resources, limit):
    folder = tmp_path / "chatty"
    folder.mkdir()
    (folder / "chats.jsonl").write_text('{"messages": []}\n')
    (folder / "model.yaml").write_text(GPU_SPEC % resources)
    spec = load(folder / "model.yaml")
    one = Workload(spec.name, spec.serve, 1, ClusterOptions())
    pod = one.pod()
    assert limit in pod["containers"][0]["resources"]["limits"].items()
    assert pod["priorityClassName"] == "updraft-7" and pod["nodeSelector"] == {"zone": "a"}
    assert one.queue_metric == "vllm:num_requests_waiting"
    assert '"tensor-parallel-size": 2' in one.config()["data"]["server.json"]


def test_kserve_gets_the_canary_and_its_share(capsys):
    found = printed(capsys, "tinychat", "--renderer", "kserve", "--version", "1", "--canary-version", "2", "--weight", "20")
    (service,) = found["InferenceService"]
    assert (service["apiVersion"], service["kind"]) in OTHERS
    predictor = service["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 20 and predictor["containers"][0]["name"] == "kserve-container"
    assert predictor["labels"]["updraft.io/revision"] == "2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "no such model"),
        (["digits", "--version", "0"], "--version: 0 is no model version"),
        (["digits", "--canary-version", "1"], "is version 1 itself"),
        (["digits", "--canary-version", "2", "--weight", "101"], "--weight: is 101"),
        (["digits", "--min-replicas", "9"], "--min-replicas"),
    ],
)
def test_wrong_arguments_are_named(capsys, arguments, says):
    assert main(["render", *arguments]) == 1
    told = capsys.readouterr()
    assert says in told.err and not told.out


def test_a_name_that_is_too_long_is_refused():
    spec = load(REPO / "include" / "models" / "digits" / "model.yaml")
    with pytest.raises(InputError, match="longer than 52"):
        _ = Workload("a" * 48, spec.serve, 1, ClusterOptions()).name
