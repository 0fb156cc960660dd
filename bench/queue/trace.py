"""The OpenB trace as work that comes and goes, and a cluster that is too small for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.placement.trace import number, rows
from include.errors import InputError
from include.placement.node import Node
from include.placement.workload import Workload

QOS = {"Guaranteed": (8, False), "LS": (8, False), "Burstable": (5, False), "BE": (2, True)}
"""The trace's class of service → priority, preemptible. LS is latency-sensitive, BE best effort: only the latter was promised nothing.
A list with another class, or none, counts as Burstable."""
TIMES = ("qos", "creation_time", "deletion_time")


@dataclass(frozen=True)
class Job:
    """``duration_s`` of work on the GPUs that ``request`` names, wanted from ``submitted_at`` on (seconds of the trace)."""

    key: str
    submitted_at: float
    duration_s: float
    request: Workload
    priority: int
    preemptible: bool

    @property
    def gpus(self) -> float:
        return self.request.milli / 1000 or self.request.gpus

    @property
    def gpu_s(self) -> float:
        """Work in GPU-seconds."""
        return self.gpus * self.duration_s


def read_jobs(path: Path, most: int = 0) -> list[Job]:
    """Pods that want GPUs, by creation time; the last ``most`` of them (0: all). A pod lasts from its creation to its deletion, a second
    at least."""
    jobs = []
    for where, row in rows(path, ("num_gpu", "gpu_milli", *TIMES)):
        gpus, milli = number(row, "num_gpu", where), number(row, "gpu_milli", where)
        if not gpus:
            continue
        created, deleted = number(row, "creation_time", where), number(row, "deletion_time", where)
        if deleted < created:
            raise InputError(f"is deleted at {deleted}, created at {created}", where=where, remedy="Give seconds on one clock.")
        shared = gpus == 1 and 0 < milli < 1000
        request = Workload(
            0 if shared else gpus, milli if shared else 0, models=frozenset(filter(None, (row.get("gpu_spec") or "").split("|")))
        )
        priority, preemptible = QOS.get(row["qos"], QOS["Burstable"])
        jobs.append(Job(where.rpartition(":")[2], created, max(1.0, deleted - created), request, priority, preemptible))
    if not jobs:
        raise InputError("no pod asks for a GPU", where=str(path), remedy="Give a list with GPU requests.")
    jobs.sort(key=lambda job: job.submitted_at)
    return jobs[-most:]


def peak_gpus(jobs: Sequence[Job]) -> float:
    """The most GPUs that would be in use at once if nobody ever waited."""
    steps = sorted([(job.submitted_at + job.duration_s, -job.gpus) for job in jobs] + [(job.submitted_at, job.gpus) for job in jobs])
    now = most = 0.0
    for _, gpus in steps:
        now += gpus
        most = max(most, now)
    return most


def cluster(nodes: Sequence[Node], gpus: float, seed: int) -> list[Node]:
    """Whole nodes drawn by the seed until they have about so many GPUs (never more, but for the first), a node with the most first: the
    largest requests must fit somewhere."""
    drawn = random.Random(seed).sample(list(nodes), len(nodes))
    largest = max(drawn, key=lambda node: len(node.devices))
    kept, held = [largest], len(largest.devices)
    for node in drawn:
        if node is not largest and node.devices and held + len(node.devices) <= gpus:
            kept.append(node)
            held += len(node.devices)
    return sorted(kept, key=lambda node: node.name)


def cluster_gpus(nodes: Sequence[Node]) -> int:
    return sum(len(node.devices) for node in nodes)


def placeable(job: Job, nodes: Sequence[Node]) -> bool:
    """Whether it would fit these nodes if they were idle."""
    return any(len(node.devices) >= job.request.devices and job.request.allows(node.kind[0]) for node in nodes)
