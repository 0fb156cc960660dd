"""Lists that nobody tuned anything to: a list's requests mixed, reshaped and constrained otherwise, by fixed seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.placement.trace import demand_milli
from include.placement.workload import Workload

Pods = Sequence[Workload]
GPUS = 6000
"""GPUs that a mixed list asks for in all; arrivals are drawn from it as from any list."""


def variants(pods: Pods, models: Sequence[str]) -> dict[str, list[Workload]]:
    """By name. ``models`` are those that constrained requests may name."""
    ordinary = {"share": 0.285, "whole": 0.643, "multi": 0.072}
    multi = {part: {"multi": part, "share": 0.3 * (1 - part), "whole": 0.7 * (1 - part)} for part in (0.3, 0.5)}
    return {
        "share60": mixed(pods, {"share": 0.6, "whole": 0.4}),
        "share80": mixed(pods, {"share": 0.8, "whole": 0.2}),
        "share100": mixed(pods, {"share": 1.0}),
        "whole": mixed(pods, {"whole": 0.9, "multi": 0.1}),
        "multi30": mixed(pods, multi[0.3]),
        "multi50": mixed(pods, multi[0.5]),
        "cpu-only x0": mixed(pods, ordinary, cpu_only=0),
        "cpu-only x2": mixed(pods, ordinary, cpu_only=2),
        "cpu x1.3": [replace(pod, cpu_milli=int(1.3 * pod.cpu_milli)) for pod in pods],
        "memory x1.6": [replace(pod, memory_mib=int(1.6 * pod.memory_mib)) for pod in pods],
        "models 33%": constrained(pods, models, 0.33),
        "shares tenths": reshaped(pods, lambda rng: rng.choice((100, 200, 250, 300, 400, 500, 600, 700))),
        "shares halves": reshaped(pods, lambda rng: rng.choice((250, 330, 500, 500))),
        "shares any": [replace(pod, milli=rng.randrange(50, 960, 10)) if pod.milli else pod for rng in (random.Random(2),) for pod in pods],
    }


def sort_of(pod: Workload) -> str:
    if not pod.devices:
        return "cpu"
    return "share" if pod.shared else "whole" if pod.gpus == 1 else "multi"


def mixed(pods: Pods, parts: dict[str, float], cpu_only: float = 1) -> list[Workload]:
    """Requests drawn so that each sort has its part of the GPU demand; CPU-only requests as many times those of the list."""
    rng = random.Random(5)
    found: list[Workload] = []
    for sort, part in parts.items():
        known = [pod for pod in pods if sort_of(pod) == sort]
        wanted = 1000 * GPUS * part
        while known and wanted > 0:
            found.append(rng.choice(known))
            wanted -= demand_milli(found[-1])
    known = [pod for pod in pods if sort_of(pod) == "cpu"]
    return found + [rng.choice(known) for _ in range(round(cpu_only * len(known)))]


def reshaped(pods: Pods, draw: Callable[[random.Random], int]) -> list[Workload]:
    """Each distinct share turned into another, the same wherever it occurs."""
    rng = random.Random(1)
    turned = {milli: draw(rng) for milli in sorted({pod.milli for pod in pods if pod.milli})}
    return [replace(pod, milli=turned[pod.milli]) if pod.milli else pod for pod in pods]


def constrained(pods: Pods, models: Sequence[str], part: float) -> list[Workload]:
    """That part of the GPU requests may use one or two models only; models with more GPUs are named more often."""
    rng = random.Random(3)
    return [
        replace(pod, models=frozenset(rng.choices(models, k=rng.choice((1, 1, 2))))) if pod.devices and rng.random() < part else pod
        for pod in pods
    ]
