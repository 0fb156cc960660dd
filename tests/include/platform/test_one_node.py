"""What `make up` finds out about a cluster whose one node is this machine, and what it asks for where it can't."""

import socket
from dataclasses import replace

import pytest

from include.errors import ComponentError, InputError
from include.platform import one_node
from include.platform.one_node import Node, check_image, config_path, connection, namespace, reachable_at, this_machine
from include.runtime.settings import Settings
from include.serving.kubernetes.options import ClusterOptions
from include.targets import images
from include.targets.kubernetes_options import Options
from tests.include.targets.cluster import needs_cluster

API_NODE = {
    "metadata": {"name": "kind-control-plane"},
    "status": {
        "nodeInfo": {"bootID": "b1"},
        "addresses": [{"type": "Hostname", "address": "kind"}, {"type": "InternalIP", "address": "172.18.0.2"}],
        "images": [{"names": ["docker.io/updraft/trainer:1"]}, {"names": None}],
    },
}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return replace(Settings.load(), home=tmp_path / "home")


def test_a_node_with_this_machines_kernel_is_this_machine():
    assert this_machine([API_NODE], "b1") == Node("kind-control-plane", "172.18.0.2", ("docker.io/updraft/trainer:1",))


@pytest.mark.parametrize(
    ("nodes", "boot", "says"), [([API_NODE] * 3, "b1", "3 nodes"), ([], "b1", "0 nodes"), ([API_NODE], "b2", "is another machine")]
)
def test_any_other_cluster_needs_a_connection(nodes, boot, says):
    with pytest.raises(InputError, match=says) as told:
        this_machine(nodes, boot)
    assert "connection updraft_kubernetes" in told.value.remedy


def test_the_connection_is_one_that_steps_take(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    (tmp_path / "config").touch()
    extra = connection(settings, "172.18.0.1", Node("kind", "172.18.0.2", ()), simulated_gpus=True)
    options = Options.read(extra).of("trainer")
    assert options.image == images.name("trainer") and options.simulated_gpus
    assert options.mlflow == f"http://172.18.0.1:{settings.mlflow_door_port}"
    assert extra["kube_config_path"] == str(tmp_path / "config") and extra["namespace"] == namespace(settings)
    assert not any(str(settings.home) == mount.path for mount in options.mounts), "credentials stand there"
    assert settings.steps.is_dir()
    assert "servers" not in extra


def test_servers_are_deployments_where_the_node_has_their_image(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    (tmp_path / "config").touch()
    here = socket.gethostbyname("localhost")
    told = (f"docker.io/{images.name('triton')}",)
    of_its_own = ClusterOptions.read(connection(settings, "", Node("kind", "127.0.0.2", told), simulated_gpus=False), "space")
    assert (of_its_own.address, of_its_own.address_of, of_its_own.pull) == ("node-port", "127.0.0.2", "Never")
    assert of_its_own.host_path == str(settings.revisions) and settings.revisions.is_dir() and not of_its_own.scales
    shared = ClusterOptions.read(connection(settings, "", Node("k3s", here, told), simulated_gpus=False), "space")
    assert shared.address == "cluster-ip", "nobody else reaches a server there"


def test_two_installations_have_two_namespaces(settings, tmp_path):
    assert namespace(settings) != namespace(replace(settings, home=tmp_path / "other"))


def test_no_kubeconfig_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"KUBECONFIG: .*none is no file"):
        config_path()


def test_a_missing_image_is_told_with_the_commands_that_bring_it(monkeypatch):
    node = Node("kind", "172.18.0.2", ("docker.io/updraft/trainer:1",))
    with pytest.raises(InputError, match=f"node kind has no image {images.name('trainer')}") as told:
        check_image(node, "trainer", patience_s=-1)
    assert "make images RUNTIMES=trainer" in told.value.remedy and "ctr" in told.value.remedy


def test_an_image_that_is_there_or_may_be_is_fine():
    check_image(Node("kind", "", (f"docker.io/{images.name('trainer')}",)), "trainer", patience_s=-1)
    check_image(Node("kind", "", ("x",) * one_node.MOST_IMAGES), "trainer", patience_s=-1)


def test_an_address_that_others_reach_too_is_not_taken_unasked():
    here = socket.gethostbyname("localhost")
    with pytest.raises(InputError, match=f"no other address than {here}") as told:
        reachable_at(Node("k3s", here, ()))
    assert f"UPDRAFT_STEPS_HOST={here}" in told.value.remedy


def test_a_node_without_an_address_is_told():
    with pytest.raises(ComponentError, match="has no address"):
        reachable_at(Node("k3s", "no-address", ()))


@pytest.mark.integration
@needs_cluster
def test_the_cluster_at_hand_is_this_machine():
    node = one_node.one_node()
    assert reachable_at(node) != node.address
