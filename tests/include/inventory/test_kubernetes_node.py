"""Who is on which device, for any pods that come and go."""

from hypothesis import given
from hypothesis import strategies as st

from include.inventory.kubernetes_node import GPU, Pod, read_node

COUNT = 8
pods = st.lists(
    st.builds(
        lambda number, asks, ours, at: Pod(
            uid=f"u{number}",
            name=f"ns/p{number}",
            created=str(number),
            asks={GPU: asks},
            lease="1ea5e" if ours else "",
            devices=tuple(f"k8s/n/gpu-{(at + place) % COUNT}" for place in range(asks)) if ours else (),
        ),
        st.integers(0, 30),
        st.integers(1, 4),
        st.booleans(),
        st.integers(0, COUNT - 1),
    ),
    unique_by=lambda pod: pod.uid,
    max_size=6,
)


def node(replicas):
    labels = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360", "nvidia.com/gpu.replicas": str(replicas)}
    offered = {GPU: str(COUNT * replicas)}
    return {"metadata": {"name": "n", "labels": labels}, "spec": {}, "status": {"capacity": offered, "allocatable": offered}}


@given(st.lists(pods, min_size=1, max_size=3), st.sampled_from([1, 2, 4]))
def test_no_device_is_held_beyond_its_shares_and_every_pod_holds_what_it_asks_for(days, replicas):
    before = {}
    for day in days:
        held = {}
        report = read_node(node(replicas), day, before, held)
        taken = [uuid for mine in held.values() for uuid in mine]
        assert len(report.devices) == COUNT
        assert max(map(taken.count, taken), default=0) <= replicas
        assert len(taken) == min(sum(pod.asks[GPU] for pod in day), COUNT * replicas)
        assert all(0 <= device.used_mib <= device.memory_mib for device in report.devices)
        before = held


@given(pods, pods)
def test_a_stranger_that_stays_keeps_its_devices_unless_ours_needs_them(first, later):
    strangers = [pod for pod in first if not pod.lease]
    new = [pod for pod in later if not pod.lease and pod.uid not in {pod.uid for pod in strangers}]
    held, then = {}, {}
    read_node(node(1), strangers, {}, held)
    read_node(node(1), [*new, *strangers], held, then)
    assert {uid: then[uid] for uid in held} == held
