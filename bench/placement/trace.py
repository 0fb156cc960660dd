"""Node and pod lists in the OpenB format, and the arrivals that the published rules make of them."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.errors import InputError
from include.placement.node import Device, Node
from include.placement.workload import Workload

DEMAND = 1.3
"""Arrived GPU demand over the cluster's GPUs, as published."""
Row = dict[str, str]


def read_nodes(path: Path) -> list[Node]:
    """One node a row: sn, cpu_milli, memory_mib, gpu (how many), model."""
    nodes = []
    for where, row in rows(path, ("sn", "cpu_milli", "memory_mib", "gpu", "model")):
        name = row["sn"]
        devices = tuple(Device(f"{name}/{index}", row["model"]) for index in range(number(row, "gpu", where)))
        nodes.append(Node(name, number(row, "cpu_milli", where), number(row, "memory_mib", where), devices))
    if not any(node.devices for node in nodes):
        raise InputError("no node has a GPU", where=str(path), remedy="Give a list with GPU nodes.")
    return nodes


def read_pods(path: Path) -> list[Workload]:
    """One request a row: cpu_milli, memory_mib, num_gpu, gpu_milli, and gpu_spec (models apart by |) where there is one."""
    pods = []
    for where, row in rows(path, ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        gpus, milli = number(row, "num_gpu", where), number(row, "gpu_milli", where)
        if milli > 1000 or (gpus > 1 and milli != 1000) or (gpus == 1 and milli == 0):
            raise InputError(f"num_gpu {gpus} with gpu_milli {milli}", where=where, remedy="Give 1 to 1000 of one GPU, or 1000 of several.")
        shared = gpus == 1 and milli < 1000
        models = frozenset(filter(None, (row.get("gpu_spec") or "").split("|"))) if gpus else frozenset()
        cpu, memory = number(row, "cpu_milli", where), number(row, "memory_mib", where)
        pods.append(Workload(0 if shared else gpus, milli if shared else 0, models=models, cpu_milli=cpu, memory_mib=memory))
    return pods


def arrivals(pods: Sequence[Workload], capacity_milli: int, seed: int, demand: float = DEMAND) -> list[Workload]:
    """The list shuffled, then drawn from with replacement, up to ``demand`` times the capacity; nothing departs."""
    if not any(pod.devices for pod in pods):
        raise InputError("no pod asks for a GPU", where="pod list", remedy="Give a list with GPU requests.")
    rng = random.Random(seed)
    shuffled = rng.sample(list(pods), len(pods))
    coming: list[Workload] = []
    arrived = 0
    while True:
        pod = shuffled[len(coming)] if len(coming) < len(shuffled) else rng.choice(pods)
        arrived += demand_milli(pod)
        if arrived > demand * capacity_milli:
            return coming
        coming.append(pod)


def demand_milli(pod: Workload) -> int:
    return pod.milli or 1000 * pod.gpus


def rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Each row with where it is, for messages."""
    if not path.is_file():
        raise InputError("no such file", where=str(path), remedy="Check NODES= and PODS=.")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"column {', '.join(missing)} is missing", where=str(path), remedy=f"The columns needed are {', '.join(needed)}."
            )
        for row in reader:
            yield f"{path}:{reader.line_num}", row


def number(row: Row, field: str, where: str) -> int:
    try:
        value = float(row[field] or 0)
    except (TypeError, ValueError):
        value = -1
    if value < 0 or value != int(value):
        raise InputError(f"{field} is {row[field]!r}", where=where, remedy="Give a whole number, 0 or more.")
    return int(value)
