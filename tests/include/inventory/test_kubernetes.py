"""The Kubernetes adapter: its official client over HTTP, against what a real API server said; and against a real one where there is one."""

import os
import uuid

import pytest

from include.errors import ComponentError, InputError
from include.inventory import kubernetes
from include.inventory.kubernetes import Kubernetes
from include.pool.state import GpuCut
from tests.include.inventory.cluster import Cluster
from tests.waiting import until

GPU = "nvidia.com/gpu"
SMALL, LARGE = "nvidia.com/mig-1g.10gb", "nvidia.com/mig-3g.40gb"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster()
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield cluster
    cluster.close()


@pytest.fixture
def inventory(cluster):
    return Kubernetes()


def devices(inventory):
    (node,) = inventory.read()
    return node.devices


def holders(inventory):
    """Device number → names of who holds it."""
    return {device.index: [process.name for process in device.processes] for device in devices(inventory) if device.processes}


def test_a_node_is_told_with_its_gpus_as_the_labels_describe_them(inventory):
    (node,) = inventory.read()
    assert node.name == "kubetest-node"
    assert node.labels["kubernetes.io/os"] == "linux"
    assert [device.uuid for device in node.devices] == [f"k8s/kubetest-node/gpu-{number}" for number in range(8)]
    assert {(device.model, device.memory_mib, device.sharing, device.failed) for device in node.devices} == {("H100-80GB", 81559, "", "")}


def test_a_pod_of_ours_is_on_the_device_that_it_names_with_its_lease(inventory):
    first = devices(inventory)[0]
    assert [(process.name, process.lease, process.memory_mib) for process in first.processes] == [("default/ours", "4f1d", 81559)]


def test_a_strangers_pod_uses_whole_devices_up(inventory):
    held = devices(inventory)[6:]
    assert [(device.used_mib, [(process.name, process.lease) for process in device.processes]) for device in held] == [
        (81559, [("default/stranger", "")])
    ] * 2
    assert all(device.used_mib == 0 and not device.processes for device in devices(inventory)[1:6])


def test_a_pod_keeps_its_devices_while_others_come_and_go(cluster, inventory):
    assert holders(inventory) == {0: ["default/ours"], 6: ["default/stranger"], 7: ["default/stranger"]}
    cluster.pod("later", {GPU: 1})
    assert holders(inventory)[5] == ["ns/later"]
    cluster.pods[:] = [pod for pod in cluster.pods if pod["metadata"]["name"] != "stranger"]
    cluster.pod("oldest", {GPU: 1}, created="2020-01-01T00:00:00Z")
    assert holders(inventory) == {0: ["default/ours"], 5: ["ns/later"], 7: ["ns/oldest"]}


def test_a_pod_of_ours_comes_before_a_stranger_where_both_would_be(cluster, inventory):
    cluster.pods.clear()
    cluster.pod("old", {GPU: 7}, created="2020-01-01T00:00:00Z")
    cluster.pod("new", {GPU: 1}, labels={"updraft.io/lease": "1"}, annotations={"updraft.io/devices": "k8s/kubetest-node/gpu-7"})
    assert holders(inventory)[7] == ["ns/new"]
    assert holders(inventory)[0] == ["ns/old"]


def test_containers_add_up_and_a_larger_init_container_counts(cluster, inventory):
    cluster.pods.clear()
    cluster.pod("two", {GPU: 1})
    spec = cluster.pods[0]["spec"]
    spec["containers"].append({"name": "d", "resources": {"requests": {GPU: "1"}, "limits": {GPU: "1"}}})
    assert len(holders(inventory)) == 2
    spec["initContainers"] = [{"name": "i", "resources": {"limits": {GPU: "3"}}}]
    assert len(holders(inventory)) == 3


def test_pods_without_gpus_or_on_no_node_hold_nothing(cluster, inventory):
    cluster.pods.clear()
    cluster.pod("web", {"cpu": 1})
    cluster.pod("waiting", {GPU: 1})
    cluster.pods[-1]["spec"].pop("nodeName")
    assert holders(inventory) == {}


def test_only_pods_that_have_not_ended_are_asked_for(cluster, inventory):
    inventory.read()
    assert any("fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed" in path for path in cluster.asked)


def test_a_long_list_is_read_to_its_end(cluster, inventory, monkeypatch):
    monkeypatch.setattr(kubernetes, "PAGE", 2)
    cluster.pods.clear()
    for number in range(5):
        cluster.pod(f"p{number}", {GPU: 1})
    assert len(holders(inventory)) == 5


def test_replicas_of_time_slicing_are_shares_of_one_device(cluster, inventory):
    cluster.pods.clear()
    cluster.offer(**{GPU: 8})
    cluster.node["metadata"]["labels"] |= {"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"}
    cluster.pod("share", {GPU: 1})
    found = devices(inventory)
    assert [(device.model, device.sharing, device.used_mib) for device in found] == [
        ("H100-80GB", "time-slice", 0),
        ("H100-80GB", "time-slice", 81559 // 4),
    ]


def test_mig_instances_are_devices_with_their_profile(cluster, inventory):
    cluster.pods.clear()
    cluster.offer(**{SMALL: 2, LARGE: 1})
    cluster.node["metadata"]["labels"] |= {f"{LARGE}.memory": "40448"}
    cluster.pod("small", {SMALL: 1})
    assert [(device.index, device.mig, device.memory_mib, device.used_mib) for device in devices(inventory)] == [
        (0, "1g.10gb", 10240, 0),
        (1, "1g.10gb", 10240, 10240),
        (2, "3g.40gb", 40448, 0),
    ]


def test_a_node_all_of_whose_gpus_are_split_alike_offers_instances(cluster, inventory):
    cluster.pods.clear()
    cluster.node["metadata"]["labels"] |= {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.memory": "4864"}
    assert {(device.model, device.mig, device.memory_mib) for device in devices(inventory)} == {("A100-40GB", "1g.5gb", 4864)}


def test_a_gpu_that_nobody_describes_can_be_had_whole_and_fits_no_ask_for_memory(cluster, inventory):
    cluster.node["metadata"]["labels"].clear()
    free, held = devices(inventory)[1], devices(inventory)[7]
    assert (free.model, free.memory_mib, free.used_mib) == ("unknown", 1, 0)
    assert held.used_mib == 1


def test_unhealthy_gpus_are_failed_among_those_that_nobody_holds(cluster, inventory):
    cluster.node["status"]["allocatable"][GPU] = "6"
    assert [device.index for device in devices(inventory) if device.failed] == [4, 5]


@pytest.mark.parametrize(
    "closed",
    [
        {"unschedulable": True},
        {"taints": [{"key": "maintenance", "effect": "NoSchedule"}]},
        {"taints": [{"key": "x", "effect": "NoExecute"}]},
    ],
)
def test_a_node_that_takes_no_pods_offers_nothing_and_keeps_who_is_there(cluster, inventory, closed):
    cluster.node["spec"] |= closed
    found = devices(inventory)
    assert all(device.used_mib == device.memory_mib for device in found)
    assert [process.lease for process in found[0].processes] == ["4f1d"]
    assert not any(device.failed for device in found)


def test_the_taint_of_gpu_nodes_closes_nothing_and_is_a_label(cluster, inventory):
    cluster.node["spec"]["taints"] = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
    (node,) = inventory.read()
    assert node.devices[1].used_mib == 0
    assert node.labels[f"taint/{GPU}"] == "present:NoSchedule"


def test_a_label_that_the_pool_would_refuse_is_left_out(cluster, inventory):
    cluster.node["metadata"]["labels"] |= {f"{'a' * 240}.example/{'b' * 60}": "x", "short": "y"}
    labels = inventory.read()[0].labels
    assert labels["short"] == "y" and max(map(len, labels)) <= 253


def test_a_node_that_is_not_ready_or_has_no_gpus_is_left_out(cluster, inventory):
    cluster.node["status"]["conditions"][-1]["status"] = "Unknown"
    assert inventory.read() == []
    cluster.node["status"]["conditions"][-1]["status"] = "True"
    cluster.offer(cpu=2)
    assert inventory.read() == []


@pytest.mark.parametrize(("status", "says"), [(403, "list"), (401, "list"), (500, "500")])
def test_a_refusal_is_no_report_and_names_the_remedy(cluster, inventory, status, says):
    cluster.status = status
    with pytest.raises(ComponentError, match=says):
        inventory.read()


def test_an_api_server_that_is_away_is_no_report(cluster, inventory):
    cluster.close()
    with pytest.raises(ComponentError, match="no answer"):
        inventory.read()


def test_without_a_cluster_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match="KUBECONFIG"):
        Kubernetes()


# A real cluster. The second test makes two pods in a namespace of its own, so it asks for leave.


@pytest.mark.integration
@pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster")
def test_a_real_cluster_can_be_read():
    for node in Kubernetes().read():
        assert node.devices
        assert len({device.uuid for device in node.devices}) == len(node.devices)
        assert all(0 <= device.used_mib <= device.memory_mib for device in node.devices)


@pytest.mark.integration
@pytest.mark.skipif(
    not (os.environ.get("KUBECONFIG") and os.environ.get("UPDRAFT_TEST_CLUSTER")),
    reason="makes pods: set KUBECONFIG and UPDRAFT_TEST_CLUSTER=1 (two free GPUs needed)",
)
def test_pods_in_a_real_cluster_are_seen_while_they_hold_gpus():
    from kubernetes import client, config

    config.load_kube_config(os.environ["KUBECONFIG"])
    inventory = Kubernetes()
    target = next(device for node in inventory.read() for device in node.devices if not device.processes)
    api, space = client.CoreV1Api(), f"updraft-{uuid.uuid4().hex[:8]}"

    def make(name, **metadata):
        container = {"name": "c", "image": "localhost/pause:1", "imagePullPolicy": "Never", "resources": {"limits": {GPU: "1"}}}
        body = {"metadata": {"name": name, **metadata}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
        api.create_namespaced_pod(space, body)

    def seen():
        found = [(process.name, process.lease, d.uuid) for node in inventory.read() for d in node.devices for process in d.processes]
        return {name.partition("/")[2]: (lease, uuid) for name, lease, uuid in found if name.startswith(f"{space}/")}

    def wait(condition):
        until(condition, 60, every_s=0.1, seen=seen)

    api.create_namespace({"metadata": {"name": space}})
    try:
        wait(lambda: any(a.metadata.name == "default" for a in api.list_namespaced_service_account(space).items))
        make("stranger")
        make("ours", labels={"updraft.io/lease": "1ea5e"}, annotations={"updraft.io/devices": target.uuid})
        wait(lambda: len(seen()) == 2)
        assert seen()["ours"] == ("1ea5e", target.uuid)
        assert seen()["stranger"][0] == "" and seen()["stranger"][1] != target.uuid
        api.delete_namespaced_pod("stranger", space)
        wait(lambda: "stranger" not in seen())
    finally:
        api.delete_namespace(space)


def test_a_node_is_cut_by_the_label_that_the_gpu_operators_mig_manager_reads(cluster, inventory):
    cut = GpuCut("", (), (("1g.10gb+me", 0),) * 2, "", 0.0)
    inventory.cut("kubetest-node", cut)
    change = {"metadata": {"labels": {"nvidia.com/mig.config": "all-1g.10gb.me"}}}
    assert cluster.patched == [("/api/v1/nodes/kubetest-node", change)]
    cluster.status = 403
    with pytest.raises(ComponentError, match="patch"):
        inventory.cut("kubetest-node", cut)
