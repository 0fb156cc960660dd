"""What there is instead of a GPU pool, from its semantics: a plain queue, and Airflow's own pools."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.queue.simulate import Turn
from bench.queue.trace import Job
from include.placement.node import Node
from include.placement.placement import Grant
from include.placement.placer import Placer
from include.placement.policies import BestFit
from include.placement.workload import Workload


class Places:
    """The cluster as it is, best fit; CPU and host memory don't count here, for anybody."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._placer = Placer([Node(node.name, 0, 0, node.devices) for node in nodes], BestFit())
        self._held: dict[str, tuple[Workload, Grant]] = {}

    def take(self, job: Job, request: Workload) -> bool:
        grant = self._placer.place(request, explain=False).grant
        if grant is not None:
            self._held[job.key] = request, grant
        return grant is not None

    def give(self, job: Job) -> None:
        request, grant = self._held.pop(job.key)
        self._placer.release(request, grant)


class Fifo:
    """First come, first served: whoever is first starts as soon as it fits, and nobody before him. No priorities."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._places = Places(nodes)
        self._waiting: list[Job] = []

    def submit(self, now: float, job: Job) -> None:
        self._waiting.append(job)

    def finish(self, now: float, job: Job) -> None:
        self._places.give(job)

    def stopped(self, now: float, job: Job) -> None:
        raise NotImplementedError("nobody is ever told to stop")

    def turn(self, now: float) -> Turn:
        started = 0
        while started < len(self._waiting) and self._places.take(self._waiting[started], self._waiting[started].request):
            started += 1
        turn = Turn(self._waiting[:started])
        del self._waiting[:started]
        return turn

    def due(self) -> float | None:
        return None

    def line(self, now: float) -> list[Job]:
        return list(self._waiting)

    def holds(self, job: Job) -> float:
        return job.gpus


class AirflowPool:
    """One Airflow pool with ``per_gpu`` slots for every GPU of the cluster, as ``SchedulerJobRunner._executable_task_instances_to_queued``
    of Airflow 3.3 fills it.

    Tasks come by descending ``priority_weight``, then by their run's date. One that asks for more slots than are open is passed over
    ("we can execute tasks with lower priority if there's enough room"), with nothing kept for it. Nothing ages, nobody is stopped.
    ``pool_slots`` are whole: with one slot a GPU a share takes a GPU, with 100 it takes hundredths.

    A pool knows no nodes. Who has his slots stands as a pending pod would until some node has room for it, in the order in which slots
    were given, whoever fits first; he holds his slots meanwhile.

    Read generously: no limit but the pool (parallelism, max_active_tasks, max_active_tis), the scheduler's loop takes no time, every
    task is of a DAG of its own (so that one that doesn't fit holds up none of its kind), a pod that finds no node waits as long as
    it takes (``startup_timeout_seconds`` would fail it after minutes), and who places pods knows shares and fits them best.
    """

    def __init__(self, nodes: Sequence[Node], per_gpu: int = 1) -> None:
        self._places = Places(nodes)
        self._per_gpu = per_gpu
        self._open = per_gpu * sum(len(node.devices) for node in nodes)
        self._scheduled: list[Job] = []
        self._pending: list[Job] = []

    def _slots(self, job: Job) -> int:
        return math.ceil(round(job.gpus * self._per_gpu, 6))

    def _request(self, job: Job) -> Workload:
        """What it then takes of a node: with whole slots only, whole GPUs."""
        return job.request if self._per_gpu > 1 or not job.request.shared else Workload(1, models=job.request.models)

    def submit(self, now: float, job: Job) -> None:
        self._scheduled.append(job)
        self._scheduled.sort(key=lambda one: (-one.priority, one.submitted_at))

    def finish(self, now: float, job: Job) -> None:
        self._open += self._slots(job)
        self._places.give(job)

    def stopped(self, now: float, job: Job) -> None:
        raise NotImplementedError("nobody is ever told to stop")

    def turn(self, now: float) -> Turn:
        passed_over = []
        for job in self._scheduled:
            if self._slots(job) <= self._open:
                self._open -= self._slots(job)
                self._pending.append(job)
            else:
                passed_over.append(job)
        self._scheduled = passed_over
        started: list[Job] = []
        full: set[Workload] = set()
        for job in self._pending:
            request = self._request(job)
            if request in full:
                continue
            if self._places.take(job, request):
                started.append(job)
            else:
                full.add(request)
        running = {job.key for job in started}
        self._pending = [job for job in self._pending if job.key not in running]
        return Turn(started)

    def due(self) -> float | None:
        return None

    def line(self, now: float) -> list[Job]:
        return [*self._pending, *self._scheduled]

    def holds(self, job: Job) -> float:
        return self._slots(job) / self._per_gpu
