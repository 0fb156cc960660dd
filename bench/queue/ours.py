"""The real pool, driven as the broker and its holders drive it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

from bench.queue.simulate import Turn
from bench.queue.trace import Job
from include.placement.node import Node
from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Config, Device, Lease, LeaseState, NodeReport

MEMORY_MIB = 80 * 1024
"""Of every GPU: the trace asks for shares, never for memory."""


class Updraft:
    """``told`` says whether holders tell how long they will take (the truth). Holders and nodes are never silent: what silence brings is
    tested elsewhere."""

    def __init__(self, nodes: Sequence[Node], told: bool, ageing_s: float) -> None:
        ids = count()
        silent = math.inf
        self.config = Config(
            lease_ttl_s=silent,
            waiting_ttl_s=silent,
            node_silent_s=silent,
            node_grace_s=silent,
            ageing_s=ageing_s,
            default_duration_s=3600.0,
        )
        self.pool = Pool(self.config, ids=lambda: f"{next(ids):08d}")
        self.pool.report(0.0, "bench", "declared", 1, 0.0, [_report(node) for node in nodes])
        self._told = told
        self._jobs: dict[str, Job] = {}
        self._leases: dict[str, str] = {}
        self._noticed: set[str] = set()

    def submit(self, now: float, job: Job) -> None:
        request = self.pool.submit(now, job.key, "bench", self._ask(job))
        self._jobs[request.id] = job

    def _ask(self, job: Job) -> Ask:
        return Ask(
            gpus=job.request.gpus,
            fraction=job.request.milli / 1000,
            models=tuple(sorted(job.request.models)),
            priority=job.priority,
            preemptible=job.preemptible,
            duration_s=job.duration_s if self._told else None,
        )

    def finish(self, now: float, job: Job) -> None:
        self._release(now, job, requeue=False)

    def stopped(self, now: float, job: Job) -> None:
        self._release(now, job, requeue=True)

    def _release(self, now: float, job: Job, requeue: bool) -> None:
        lease = self.pool.leases[self._leases.pop(job.key)]
        self._noticed.discard(lease.id)
        self.pool.release(now, lease.id, lease.token, requeue)

    def turn(self, now: float) -> Turn:
        self.pool.tick(now)
        started, told = [], []
        for lease in self.pool.take_changes().leases.values():
            if lease.state is LeaseState.ENDED:
                continue
            job = self._jobs[lease.request_id]
            if job.key not in self._leases:
                self._leases[job.key] = lease.id
                started.append(job)
            if self._newly_noticed(lease):
                told.append(job)
        return Turn(started, told)

    def _newly_noticed(self, lease: Lease) -> bool:
        if lease.notice is None or lease.id in self._noticed:
            return False
        self._noticed.add(lease.id)
        return True

    def due(self) -> float | None:
        return self.pool.next_due()

    def line(self, now: float) -> list[Job]:
        return [self._jobs[request.id] for request in self.pool.line(now)]

    def holds(self, job: Job) -> float:
        return job.gpus


def _report(node: Node) -> NodeReport:
    devices = tuple(Device(device.uuid, index, device.model, MEMORY_MIB, sharing="time-slice") for index, device in enumerate(node.devices))
    return NodeReport(node.name, {}, devices)
