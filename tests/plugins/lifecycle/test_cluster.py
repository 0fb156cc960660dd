"""Airflow's connection to a cluster as a target for steps."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gpu_pool.client import Held
from include.errors import InputError
from include.inventory.kubernetes import Kubernetes
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.pool.ask import Ask
from include.pool.state import Grant
from include.runtime.settings import Settings
from include.spec.parts import Resources
from include.spec.resources import ask_for
from include.spec.schema import Launcher
from include.targets.kubernetes import KubernetesTarget
from include.targets.ray import RayPlace, RayTarget
from include.targets.trainjob import GangTarget
from lifecycle.operators.gate import Evaluate
from lifecycle.operators.optimize import Train
from lifecycle.targets import target_of
from tests.include.targets.cluster import needs_cluster

DIGITS = Path("include/models/digits/model.yaml")
STEPS = {"image": "updraft/{runtime}:1", "volume": {"claim": "updraft-steps"}}
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "a", "user": {"token": "t"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "current-context": "a",
}


@pytest.fixture
def connection(monkeypatch):
    def connection(**extra: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_KUBERNETES", json.dumps({"conn_type": "kubernetes", "extra": extra}))

    return connection


def run(tmp_path: Path) -> Any:
    settings = replace(Settings.load(), home=tmp_path)
    return SimpleNamespace(settings=settings, spec=load(DIGITS).model_copy(update={"target": "kubernetes"}))


def test_the_connection_names_cluster_namespace_and_how_steps_run(tmp_path, connection):
    connection(kube_config=CONFIG, namespace="team-a", steps=STEPS)
    target = target_of(run(tmp_path))
    assert isinstance(target, KubernetesTarget)
    assert target._pods.cluster.namespace == "team-a"
    assert target.identity("trainer").startswith("updraft/trainer:1 ")


def test_a_file_may_hold_the_configuration(tmp_path, connection):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    connection(kube_config_path=str(path), steps=STEPS)
    assert target_of(run(tmp_path))._pods.cluster.namespace == "default"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"kube_config": CONFIG}, "has no field 'steps'"),
        ({"kube_config": CONFIG, "steps": {**STEPS, "cpu": 1}}, r"steps\.cpu"),
        ({"kube_config_path": "/no/such/file", "steps": STEPS}, "names no cluster"),
        ({"kube_config": {"kind": "Config"}, "steps": STEPS}, "names no cluster"),
        ({"kube_config": CONFIG, "in_cluster": True, "steps": STEPS}, "names no cluster"),
    ],
)
def test_a_wrong_connection_is_told_by_its_field(tmp_path, connection, extra, says):
    connection(**extra)
    with pytest.raises(InputError, match=says) as told:
        target_of(run(tmp_path))
    assert "updraft_kubernetes" in told.value.where and told.value.remedy


def test_a_missing_connection_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_UPDRAFT_KUBERNETES", raising=False)
    with pytest.raises(InputError, match="connection updraft_kubernetes: does not exist"):
        target_of(run(tmp_path))


def test_a_lease_becomes_the_pods_devices(tmp_path, connection):
    connection(kube_config=CONFIG, steps=STEPS)
    grant = Grant("prod/node-7", ("k8s/node-7/gpu-0",), (0,), "H100-80GB", 1000, 81559)
    place = target_of(run(tmp_path), Held("7f", "r", 1, (grant,), 60.0), 8)._pods._place
    assert place.limits == {"nvidia.com/gpu": "1"} and place.priority_class_name == "updraft-8"


GANG = {"workers": 4, "runtime": "llm", "resources": Resources(gpus=2, nodes=2)}
GRANTS = tuple(Grant(f"prod/node-{n}", (f"k8s/node-{n}/gpu-0", f"k8s/node-{n}/gpu-1"), (0, 1), "H100", 1000, 81559) for n in (7, 8))


def trains(tmp_path: Path, target: str | None = "kubernetes", **train: Any) -> tuple[Train, Any]:
    """The task `train`, and a run of a model that is trained so."""
    found = run(tmp_path)
    spec = found.spec.model_copy(update={"target": target, "train": found.spec.train.model_copy(update=train)})
    mlflow = SimpleNamespace(environment=lambda: {})
    folder = DIGITS.parent.resolve()
    made = SimpleNamespace(
        settings=found.settings, spec=spec, key="k", spec_path=DIGITS, folder=folder, kind=kind_of(spec), params={}, mlflow=mlflow
    )
    return Train(task_id="train", spec_path=str(DIGITS)), made


def test_a_gang_s_lease_becomes_one_pod_a_node(tmp_path, connection):
    connection(kube_config=CONFIG, steps={**STEPS, "trainer": "pytorchjob"})
    task, found = trains(tmp_path, **GANG)
    held = Held("7f", "r", 1, GRANTS, 60.0)
    target = task._target(found, SimpleNamespace(lease=held))
    assert isinstance(target, GangTarget) and target._kind == "pytorchjob"
    assert target._pods._place.nodes == ("node-7", "node-8") and target._pods._place.limits == {"nvidia.com/gpu": "2"}
    assert task._devices(found, SimpleNamespace(lease=held)) == {"UPDRAFT_GPU_LEASE": "7f"}
    request = task._request(found, {})
    assert (request.workers, request.nodes, request.launcher) == (4, 2, "torchrun")
    assert ask_for(task._resources(found), DIGITS.parent, "a").nodes == 2


def test_a_training_of_several_nodes_is_refused_on_one_machine(tmp_path):
    task, found = trains(tmp_path, None, **GANG)
    with pytest.raises(InputError, match="target process is one machine") as told:
        task._target(found)
    assert told.value.where == "model.yaml: train.resources.nodes"


def test_several_nodes_need_a_trainer(tmp_path, connection):
    connection(kube_config=CONFIG, steps=STEPS)
    task, found = trains(tmp_path, **GANG)
    with pytest.raises(InputError, match=r"steps\.trainer"):
        task._target(found)


def test_ray_gets_the_training_and_the_pool_is_not_asked(tmp_path, monkeypatch):
    task, found = trains(tmp_path, **{**GANG, "launcher": Launcher.RAY})
    monkeypatch.delenv("AIRFLOW_CONN_UPDRAFT_RAY", raising=False)
    with pytest.raises(InputError, match="connection updraft_ray: does not exist"):
        task._target(found)
    given = {"conn_type": "http", "schema": "https", "host": "ray.example.org", "port": 8265, "password": "t", "extra": {"python": "/p"}}
    monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_RAY", json.dumps(given))
    target = task._target(found)
    assert isinstance(target, RayTarget) and target._place == RayPlace("https://ray.example.org:8265", "t", "/p")
    request = task._request(found, {})
    assert task._leased(found) is None and (request.nodes, request.launcher, request.gpus) == (1, "ray", 1.0)


def test_only_the_training_runs_in_its_runtime(tmp_path):
    task, found = trains(tmp_path, **GANG)
    evaluate = Evaluate(task_id="evaluate", spec_path=str(DIGITS))
    assert task.runtime(found) == "llm" and evaluate.runtime(found) == "trainer"
    assert evaluate._request(found, {}).workers == 1


def test_a_lease_of_declared_gpus_becomes_a_pod_without_any_where_that_is_wanted(tmp_path, connection):
    connection(kube_config=CONFIG, steps={**STEPS, "simulated_gpus": True})
    grant = Grant("simulated/simulated", ("declared/simulated/gpu-0",), (0,), "H100-80GB", 100, 8192)
    assert target_of(run(tmp_path), Held("7f", "r", 1, (grant,), 60.0), 8)._pods._place is None


@pytest.mark.integration
@needs_cluster
def test_the_hooks_client_reaches_a_real_cluster_and_the_pool_looks_for_its_nodes(tmp_path, connection):
    connection(kube_config_path=os.environ["KUBECONFIG"], namespace="updraft-none", steps=STEPS)
    target = target_of(run(tmp_path))
    with pytest.raises(InputError, match="namespace updraft-none: does not exist"):
        target._pods.cluster.create_secret({"metadata": {"name": "a"}})
    wanted = dict(target.narrow(Ask(gpus=1)).labels)
    nodes = Kubernetes().read()
    assert nodes and all(wanted.items() <= dict(node.labels).items() for node in nodes)
