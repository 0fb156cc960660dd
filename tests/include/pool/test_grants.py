"""A lease as the environment of a process, as Docker's and as Kubernetes' words."""

import pytest

from include.errors import InputError
from include.inventory.kubernetes_node import Pod
from include.pool.grants import device_requests, environment, grant_of, kubernetes
from include.pool.state import Grant

WHOLE = Grant("rack1", ("GPU-a", "GPU-b"), (0, 1), "H100-80GB", 1000, 81559)
SHARE = Grant("rack1", ("GPU-a",), (0,), "H100-80GB", 250, 20390)
MIG = Grant("rack2", ("MIG-c",), (3,), "A100-40GB 1g.5gb", 1000, 4864)
POD_MIG = Grant("prod/node-7", ("k8s/node-7/mig-3g.40gb-1",), (1,), "H100-80GB 3g.40gb", 1000, 40448)
SINGLE_MIG = Grant("prod/node-7", ("k8s/node-7/gpu-1",), (1,), "H100-80GB 3g.40gb", 1000, 40448)


def test_a_process_sees_its_devices_by_uuid_and_its_lease():
    found = environment("7f", WHOLE)
    assert found["CUDA_VISIBLE_DEVICES"] == found["NVIDIA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert found["UPDRAFT_GPU_LEASE"] == "7f"
    assert found["UPDRAFT_GPU_MEMORY_MIB"] == "81559"
    assert not [name for name in found if "MPS" in name]


def test_a_mig_instance_is_named_by_its_own_uuid():
    assert environment("7f", MIG)["CUDA_VISIBLE_DEVICES"] == "MIG-c"


def test_a_share_is_limited_where_mps_runs():
    found = environment("7f", SHARE)
    assert found["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    assert found["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=20390M"


def test_docker_gets_the_devices_and_no_others():
    assert device_requests(WHOLE.uuids) == [{"driver": "nvidia", "device_ids": ["GPU-a", "GPU-b"], "capabilities": [["gpu"]]}]


def test_kubernetes_gets_resource_node_and_priority_class():
    place = kubernetes("7f", Grant("prod/node-7", ("k8s/node-7/gpu-0",), (0,), "H100-80GB", 1000, 81559), priority=8)
    assert place.limits == {"nvidia.com/gpu": "1"}
    assert place.node_selector == {"kubernetes.io/hostname": "node-7"}
    assert {toleration["key"] for toleration in place.tolerations} == {"nvidia.com/gpu", "updraft.io/gpu"}
    assert place.priority_class_name == "updraft-8"


def test_kubernetes_mig_is_asked_by_profile_where_the_node_offers_it_so():
    assert kubernetes("7f", POD_MIG, priority=5).limits == {"nvidia.com/mig-3g.40gb": "1"}
    assert kubernetes("7f", SINGLE_MIG, priority=5).limits == {"nvidia.com/gpu": "1"}


def test_the_inventory_knows_such_a_pod_as_ours():
    place = kubernetes("7f", POD_MIG, priority=5)
    metadata = {"uid": "1", "namespace": "n", "name": "p", "labels": place.labels, "annotations": place.annotations}
    pod = Pod.of({"metadata": metadata, "spec": {"containers": [{"resources": {"limits": place.limits}}]}})
    assert (pod.lease, pod.devices, pod.asks) == ("7f", POD_MIG.uuids, {"nvidia.com/mig-3g.40gb": 1})


def test_one_node_of_a_gang_is_picked_by_name():
    assert grant_of([WHOLE, MIG], "rack2") is MIG
    assert grant_of([WHOLE]) is WHOLE
    with pytest.raises(InputError, match="Name one of: rack1, rack2"):
        grant_of([WHOLE, MIG])
