"""Small clusters and requests to draw tests from."""

from __future__ import annotations

from hypothesis import strategies as st

from include.placement.node import Device, Node
from include.placement.workload import Workload

KINDS = (("T4", 16384), ("A10", 24576), ("", 0))


def node(
    name: str, gpus: int = 2, *, model: str = "T4", cpu: int = 32000, memory: int = 65536, gpu_memory: int = 16384, **labels: str
) -> Node:
    devices = tuple(Device(f"{name}/{index}", model, gpu_memory) for index in range(gpus))
    return Node(name, cpu, memory, devices, labels)


@st.composite
def clusters(draw: st.DrawFn) -> list[Node]:
    nodes = []
    for index in range(draw(st.integers(1, 5))):
        model, gpu_memory = draw(st.sampled_from(KINDS))
        gpus = draw(st.integers(1, 4)) if model else 0
        cpu, memory = draw(st.sampled_from((4000, 16000, 48000))), draw(st.sampled_from((16384, 131072)))
        nodes.append(node(f"n{index}", gpus, model=model, cpu=cpu, memory=memory, gpu_memory=gpu_memory))
    return nodes


@st.composite
def requests(draw: st.DrawFn) -> Workload:
    way = draw(st.sampled_from(("cpu", "whole", "whole", "share", "share", "share", "memory")))
    models = draw(st.sampled_from((frozenset(), frozenset(), frozenset({"T4"}), frozenset({"A10", "T4"}), frozenset({"H100"}))))
    return Workload(
        gpus=draw(st.sampled_from((1, 1, 2, 4))) if way == "whole" else 0,
        milli=draw(st.sampled_from((100, 190, 320, 470, 500, 810))) if way == "share" else 0,
        gpu_memory_mib=draw(st.sampled_from((2048, 9000, 16384, 20000))) if way == "memory" else 0,
        models=models if way != "cpu" else frozenset(),
        cpu_milli=draw(st.sampled_from((0, 1000, 4000, 12000))),
        memory_mib=draw(st.sampled_from((0, 4096, 16384))),
    )


workloads = st.lists(requests(), min_size=1, max_size=25)
