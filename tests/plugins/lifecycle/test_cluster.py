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
from include.platform.settings import Settings
from include.pool.ask import Ask
from include.pool.state import Grant
from include.spec.load import load
from include.targets.kubernetes import KubernetesTarget
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
    assert target._cluster.namespace == "team-a"
    assert target.identity("trainer").startswith("updraft/trainer:1 ")


def test_a_file_may_hold_the_configuration(tmp_path, connection):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    connection(kube_config_path=str(path), steps=STEPS)
    assert target_of(run(tmp_path))._cluster.namespace == "default"


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
    place = target_of(run(tmp_path), Held("7f", "r", 1, (grant,), 60.0), 8)._place
    assert place.limits == {"nvidia.com/gpu": "1"} and place.priority_class_name == "updraft-8"


@pytest.mark.integration
@needs_cluster
def test_the_hooks_client_reaches_a_real_cluster_and_the_pool_looks_for_its_nodes(tmp_path, connection):
    connection(kube_config_path=os.environ["KUBECONFIG"], namespace="updraft-none", steps=STEPS)
    target = target_of(run(tmp_path))
    with pytest.raises(InputError, match="namespace updraft-none: does not exist"):
        target._cluster.create_secret({"metadata": {"name": "a"}})
    wanted = dict(target.narrow(Ask(gpus=1)).labels)
    nodes = Kubernetes().read()
    assert nodes and all(wanted.items() <= dict(node.labels).items() for node in nodes)
