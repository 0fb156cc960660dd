"""The policies once more, plainly: loops over nodes, devices and tasks, nothing kept. What the fast path is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from include.placement.expected_fill import ARRIVALS
from include.placement.mix import Mix
from include.placement.workload import Workload


@dataclass
class State:
    """A node's free resources; ``model`` of its GPUs and their memory."""

    name: str
    cpu: int
    memory: int
    model: str
    gpu_memory: int
    free: list[int]

    def after(self, request: Workload, device: int) -> State:
        free = list(self.free)
        if request.shared:
            free[device] -= request.milli_on(self.gpu_memory)
        else:
            for index in [i for i, milli in enumerate(free) if milli == 1000][: request.gpus]:
                free[index] = 0
        return State(self.name, self.cpu - request.cpu_milli, self.memory - request.memory_mib, self.model, self.gpu_memory, free)


def can_host(state: State, request: Workload, *, memory: bool = True) -> bool:
    if state.cpu < request.cpu_milli or (memory and state.memory < request.memory_mib):
        return False
    if not request.devices:
        return True
    large_enough = [milli for milli in state.free if milli >= request.milli_on(state.gpu_memory)]
    return bool(state.model) and request.allows(state.model) and len(large_enough) >= request.devices


def places(state: State, request: Workload) -> list[int]:
    """Devices worth trying: those a share fits; -1 otherwise."""
    if not request.shared:
        return [-1]
    return [index for index, milli in enumerate(state.free) if milli >= request.milli_on(state.gpu_memory)]


def fragmentation(state: State, mix: Mix) -> float:
    total = 0.0
    for task, part in mix.typical():
        if not task.devices or not can_host(state, task, memory=False):
            total += part * sum(state.free)
        else:
            total += part * sum(milli for milli in state.free if milli < task.milli_on(state.gpu_memory))
    return total


def fgd_score(before: State, after: State, mix: Mix) -> int:
    change = fragmentation(before, mix) - fragmentation(after, mix)
    return int(100 / (1 + math.exp(-change / 1000)) + 1e-9)


class ExpectedFill:
    """(GPU milli, CPU, memory) that ``ARRIVALS`` tasks of the mix are expected to take, straight from the recursion."""

    def __init__(self, mix: Mix, model: str, gpu_memory: int) -> None:
        wanting = sum(count for request, count in mix.counts.items() if request.devices)
        self.tasks = [
            (request, request.milli_on(gpu_memory), count / wanting)
            for request, count in mix.counts.items()
            if request.devices and request.allows(model) and request.milli_on(gpu_memory) <= 1000
        ]
        self.part = lru_cache(None)(self._part)
        self.whole = lru_cache(None)(self._whole)

    def _part(self, left: int, free: int) -> tuple[float, float, float]:
        if not left:
            return (0.0, 0.0, 0.0)
        result, missed = [0.0, 0.0, 0.0], 1.0
        for request, milli, chance in self.tasks:
            if request.shared and milli < 1000 and milli <= free:
                later = self.part(left - 1, free - milli)
                for index, now in enumerate((milli, request.cpu_milli, request.memory_mib)):
                    result[index] += chance * (now + later[index])
                missed -= chance
        same = self.part(left - 1, free)
        return tuple(value + missed * other for value, other in zip(result, same, strict=True))

    def _whole(self, left: int, number: int) -> tuple[float, float, float]:
        if not left or not number:
            return (0.0, 0.0, 0.0)
        result, missed = [0.0, 0.0, 0.0], 1.0
        for request, milli, chance in self.tasks:
            if request.shared and milli < 1000:
                later = self.whole(left - 1, number - 1)
                opened = self.part(ARRIVALS, 1000 - milli)
                gained = milli
            elif request.devices <= number:
                later, opened, gained = self.whole(left - 1, number - request.devices), (0.0, 0.0, 0.0), 1000 * request.devices
            else:
                continue
            for index, now in enumerate((gained, request.cpu_milli, request.memory_mib)):
                result[index] += chance * (now + opened[index] + later[index])
            missed -= chance
        same = self.whole(left - 1, number)
        return tuple(value + missed * other for value, other in zip(result, same, strict=True))


def updraft_value(state: State, mix: Mix, openness: float) -> float:
    if not state.model:
        return 0.0
    fill = ExpectedFill(mix, state.model, state.gpu_memory)
    gpu, cpu, memory = fill.whole(ARRIVALS, sum(milli == 1000 for milli in state.free))
    for milli in state.free:
        if milli < 1000:
            part = fill.part(ARRIVALS, milli)
            gpu, cpu, memory = gpu + (1 + openness) * part[0], cpu + part[1], memory + part[2]
    return gpu * min(1, state.cpu / (cpu + 1), state.memory / (memory + 1))


def best_fit_score(after: State, most_cpu: int, width: int) -> int:
    return int(100 * (1 - (after.cpu / most_cpu + sum(after.free) / (1000 * width)) / 2) + 1e-9)
