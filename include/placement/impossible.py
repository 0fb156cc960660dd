"""Requests that can never be placed, and the nearest that could."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from include.placement.node import Node
from include.placement.workload import Workload


def nearest_possible(request: Workload, capacity: Sequence[Node]) -> Workload | None:
    """None when some node of ``capacity`` (nodes with nothing on them) could take the request; else the nearest that one could take.

    Nearest: fewest GPUs (or least share) given up, then least CPU, then least memory; labels and models are kept if any node has them, else
    dropped, models first. None also without any node.
    """
    for wanted in (request, replace(request, models=frozenset()), replace(request, models=frozenset(), labels=())):
        possible = [_cut_to(wanted, node) for node in capacity if _suits(wanted, node)]
        if possible:
            nearest = min(possible, key=lambda cut: (_lost(wanted, cut), repr(cut)))
            return None if nearest == request else nearest
    return None


def _suits(request: Workload, node: Node) -> bool:
    labelled = all(node.labels.get(key) == value for key, value in request.labels)
    if not request.devices:
        return labelled
    memory = node.kind[1] > 0 or not request.gpu_memory_mib
    return labelled and memory and bool(node.devices) and request.allows(node.kind[0])


def _cut_to(request: Workload, node: Node) -> Workload:
    return replace(
        request,
        gpus=min(request.gpus, len(node.devices)),
        gpu_memory_mib=min(request.gpu_memory_mib, node.kind[1]),
        cpu_milli=min(request.cpu_milli, node.cpu_milli),
        memory_mib=min(request.memory_mib, node.memory_mib),
    )


def _lost(wanted: Workload, cut: Workload) -> tuple[float, ...]:
    """Parts given up: of the GPUs, the GPU memory, the CPU, the memory."""
    return tuple(
        1 - getattr(cut, field) / getattr(wanted, field) if getattr(wanted, field) else 0.0
        for field in ("gpus", "gpu_memory_mib", "cpu_milli", "memory_mib")
    )
