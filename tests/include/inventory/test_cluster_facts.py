"""What a node's agent sees beside Kubernetes' own count: which device is meant, what it adds, and when it is believed."""

import json
from dataclasses import replace

import pytest

from include.inventory.cluster_facts import SILENT_S, Fact, Facts, FactsDoor, described, parsed
from include.inventory.report import to_json
from include.pool.state import Device, NodeReport, Process

POD = Process(0, "team/train", 81559, "lease-1")


def counted(number: int, *processes: Process, model: str = "H100-80GB", memory_mib: int = 81559) -> Device:
    used_mib = sum(process.memory_mib for process in processes)
    return Device(f"k8s/n/gpu-{number}", number, model, memory_mib, used_mib=used_mib, processes=processes)


def physical(number: int, *pods: str, **more: object) -> Fact:
    device = Device(f"GPU-{number}", number, "H100-80GB", 81559, readings={"temperature_c": 30.0 + number})
    return Fact(replace(device, **more), pods)


def node(*devices: Device) -> NodeReport:
    return NodeReport("n", {}, devices)


def test_a_pods_device_is_the_one_that_the_kubelet_gave_it():
    found = described(node(counted(0, POD), counted(1)), [physical(0), physical(1, "team/train")]).devices
    assert [device.readings["temperature_c"] for device in found] == [31.0, 30.0]
    assert [device.uuid for device in found] == ["k8s/n/gpu-0", "k8s/n/gpu-1"] and found[0].processes == (POD,)


def test_a_failure_that_the_device_plugin_has_not_seen_is_told():
    found = described(node(counted(0), counted(1)), [physical(0), physical(1, failed="Xid 79")]).devices
    assert [device.failed for device in found] == ["", "Xid 79"]


def test_a_gpu_that_no_label_describes_gets_its_model_and_memory():
    unknown = counted(0, replace(POD, memory_mib=1), model="unknown", memory_mib=1)
    (found,) = described(node(unknown), [physical(0, "team/train")]).devices
    assert (found.model, found.memory_mib, found.used_mib, found.processes) == ("H100-80GB", 81559, 81559, (POD,))


def test_a_program_of_the_machine_itself_is_on_the_device_as_a_stranger():
    stranger = Process(4711, "Xorg", 300, "lease-9")
    (found,) = described(node(counted(0)), [physical(0, used_mib=420, processes=(stranger,))]).devices
    assert (found.used_mib, found.processes) == (420, (replace(stranger, lease=""),))


def test_what_belongs_to_nobody_changes_nothing():
    report = node(counted(0, POD), counted(1))
    assert described(report, [physical(0, "other/pod"), physical(1, "other/pod")]) == report
    assert described(report, []) == report


def test_an_instance_is_described_by_one_of_its_profile():
    instance = replace(counted(0), mig="1g.10gb")
    found = described(node(instance), [physical(0), physical(1, mig="1g.10gb")]).devices
    assert found[0].readings["temperature_c"] == 31.0


class Api:
    """Keeps what is applied, and lists it, as the official client's calls do."""

    def __init__(self) -> None:
        self.kept: dict[str, dict] = {}

    def patch_namespaced_config_map(self, name, namespace, body, **how):
        assert how["_content_type"] == "application/apply-patch+yaml" and how["field_manager"]
        self.kept[name] = json.loads(json.dumps(body))

    def list_namespaced_config_map(self, namespace, label_selector, **how):
        return type("Answer", (), {"data": json.dumps({"items": list(self.kept.values())}).encode()})


@pytest.fixture
def api():
    return Api()


def test_what_a_node_keeps_is_what_the_cluster_reads(api):
    report = NodeReport("n", {}, (physical(0).device, physical(1, failed="Xid 79", processes=(Process(7, "x", 5),)).device))
    door = FactsDoor(api, "ns", "n", lambda: {"GPU-0": ("team/train",)})
    door.report({"clock": 1.0, "nodes": [to_json(report)]})
    assert Facts(api, "ns").read() == {"n": [Fact(report.devices[0], ("team/train",)), Fact(report.devices[1], ())]}


def test_a_node_that_has_gone_silent_is_not_believed(api):
    now = [0.0]
    door, facts = FactsDoor(api, "ns", "n", dict), Facts(api, "ns", clock=lambda: now[0])
    body = {"clock": 1.0, "nodes": [to_json(NodeReport("n", {}, (physical(0).device,)))]}
    door.report(body)
    assert facts.read()
    now[0] = SILENT_S + 1
    assert not facts.read()
    door.report(body | {"clock": 2.0})
    assert facts.read()


@pytest.mark.parametrize("text", ["", "{}x", '[{"uuid": "GPU-1"}]', "[1]", '[{"surprise": 1}]'])
def test_a_list_that_is_none_says_nothing(text):
    assert parsed(text) == []


def test_the_cluster_s_agent_reads_what_its_nodes_keep(monkeypatch, tmp_path):
    from include.inventory.kubernetes import Kubernetes
    from tests.include.inventory.cluster import Cluster

    cluster = Cluster()
    try:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        assert all(not device.readings for device in Kubernetes("nobody-keeps-any").read()[0].devices)
        devices = [{**to_json(node(physical(5).device))["devices"][0], "pods": ["default/ours"]}]
        kept = {"metadata": {"labels": {"updraft.io/gpus": "kubetest-node"}}, "data": {"devices": json.dumps(devices), "clock": "1"}}
        answer = cluster.answer
        listed = {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [kept]}
        cluster.answer = lambda path, query: listed if path == "/api/v1/namespaces/ns/configmaps" else answer(path, query)
        (found,) = Kubernetes("ns").read()
        assert [device.readings.get("temperature_c") for device in found.devices] == [35.0] + [None] * 7
    finally:
        cluster.close()
