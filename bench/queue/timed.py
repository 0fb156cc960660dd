"""What time brings about, as small scenes whose best outcome is known: a lease that overruns, one without end, two kinds of device, a loan
whose reason goes, a holder that stops slowly. The pool is called when somebody does something, and when it says that it is due.

Of each scene: GPU-hours that were idle though somebody waited who could have used them; the wait of those who ask for what their team is
guaranteed, or who outrank who holds (p99, seconds); and victims who stopped for nobody.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from bench.queue.figures import quantile
from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Config, Device, Lease, LeaseState, NodeReport, Quota, Request, RequestState

HOUR = 3600.0
MEMORY_MIB = 80 * 1024
H100, A100 = ("H100-80GB",), ("A100-80GB",)


@dataclass(frozen=True)
class Coming:
    """A request at ``at`` that works for ``lasts_s``, is cancelled at ``gone_at`` if it waits then, and counts as a claim if ``claims``."""

    at: float
    ask: Ask
    lasts_s: float
    claims: bool = False
    gone_at: float | None = None


@dataclass(frozen=True)
class Scene:
    title: str
    nodes: dict[str, tuple[str, int]]
    """Node → model and GPUs."""
    coming: list[Coming]
    until: float
    quotas: tuple[Quota, ...] = ()


@dataclass
class Outcome:
    idle_gpu_hours_with_waiters: float = 0.0
    waits: list[float] = field(default_factory=list)
    needless_victims: int = 0

    @property
    def guarantee_wait_p99_s(self) -> float | None:
        return quantile(self.waits, 0.99) if self.waits else None


def scenes() -> Iterator[Scene]:
    low, claim = Ask(gpus=1, priority=1, duration_s=100), Ask(gpus=1, priority=10)
    yield Scene("overrun", {"a": (*H100, 1)}, [Coming(0, low, 9 * HOUR), Coming(80, claim, 600, claims=True)], HOUR)

    small = Ask(gpus=1, duration_s=900, preemptible=False)
    served = Coming(0, Ask(gpus=1, priority=8, preemptible=False, endless=True), 99 * HOUR)
    gang = Coming(1, Ask(gpus=8, nodes=4, priority=9, preemptible=False), 600)
    stream = [Coming(2 + 20 * number, small, 900) for number in range(int(6 * HOUR / 20))]
    yield Scene("without end", {name: (*H100, 8) for name in "abcd"}, [served, gang, *stream], 6 * HOUR)

    busy = Coming(0, Ask(gpus=8, priority=9, models=H100, preemptible=False, duration_s=9 * HOUR), 9 * HOUR)
    waits = Coming(1, Ask(gpus=4, priority=10, team="large", models=H100, preemptible=False), 600)
    borrowers = [Coming(2 + number, Ask(gpus=1, priority=7, team="lent", models=A100), 5 * HOUR) for number in range(8)]
    claims = [Coming(600 + 1200 * number, Ask(gpus=2, priority=1, team="sure", models=A100), 600, claims=True) for number in range(16)]
    both = {"h": (*H100, 8), "a": (*A100, 8)}
    yield Scene("two kinds", both, [busy, waits, *borrowers, *claims], 6 * HOUR, (Quota("sure", 4), Quota("large", 4)))

    long = Coming(0, Ask(gpus=4, preemptible=False, duration_s=2 * HOUR), 2 * HOUR)
    head = Coming(1, Ask(gpus=8, priority=9), 600, gone_at=600)
    brief = [Coming(2 + number, Ask(gpus=1, duration_s=HOUR), 3 * HOUR) for number in range(4)]
    yield Scene("loan", {"a": (*H100, 8)}, [long, head, *brief], 4 * HOUR)

    slow = [Coming(10 + number, Ask(gpus=1, priority=2, team="lent", grace_s=HOUR), 9 * HOUR) for number in range(8)]
    quick = [Coming(number, Ask(gpus=1, priority=2, team="lent", grace_s=20), 9 * HOUR) for number in range(8)]
    asks = [Coming(600 + 900 * number, Ask(gpus=1, priority=1, team="sure"), 600, claims=True) for number in range(20)]
    yield Scene("slow to stop", {"a": (*H100, 16)}, [*slow, *quick, *asks], 6 * HOUR, (Quota("sure", 4),))


def play(scene: Scene) -> Outcome:
    """One scene, by the pool's own clock."""
    return _Play(scene).all()


class _Play:
    def __init__(self, scene: Scene) -> None:
        ids, silent = count(), 1e9
        config = Config(lease_ttl_s=silent, waiting_ttl_s=silent, node_silent_s=silent, node_grace_s=silent)
        self.pool, self.scene = Pool(config, ids=lambda: f"{next(ids):06d}"), scene
        self.outcome = Outcome()
        self.order = count()
        self.agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self.coming: dict[str, Coming] = {}
        self.since: dict[str, float] = {}
        self.begun: set[str] = set()
        self.told: set[str] = set()
        self.pool.report(0.0, "bench", "declared", 1, 0.0, [_report(name, *what) for name, what in scene.nodes.items()])
        for quota in scene.quotas:
            self.pool.set_quota(0.0, quota, "bench")
        for number, one in enumerate(scene.coming):
            self._later(one.at, lambda now, one=one, number=number: self._comes(now, number, one))

    def all(self) -> Outcome:
        now = 0.0
        while True:
            due = self.pool.next_due()
            then = min(self.agenda[0][0] if self.agenda else self.scene.until, self.scene.until if due is None else max(due, now))
            self.outcome.idle_gpu_hours_with_waiters += self._idle() * (min(then, self.scene.until) - now) / HOUR
            now = then
            if now >= self.scene.until:
                break
            while self.agenda and self.agenda[0][0] <= now:
                heapq.heappop(self.agenda)[2](now)
            self.pool.tick(now)
            self._look(now)
        waiting = [self.since[one.id] for one in self.pool.requests.values() if one.state is RequestState.WAITING and self._claims(one)]
        self.outcome.waits += [now - since for since in waiting]
        return self.outcome

    def _comes(self, now: float, number: int, one: Coming) -> None:
        request = self.pool.submit(now, f"k{number}", "bench", one.ask)
        self.coming[request.id], self.since[request.id] = one, now
        if one.gone_at is not None:
            self._later(one.gone_at, lambda at: self._goes(at, request))

    def _goes(self, now: float, request: Request) -> None:
        if request.state is RequestState.WAITING:
            self.pool.cancel(now, request.id, "bench")

    def _look(self, now: float) -> None:
        for lease in self.pool.take_changes().leases.values():
            if lease.state is LeaseState.ENDED:
                stopped = lease.end not in ("released", "forced")
                self.outcome.needless_victims += stopped and not self._has_use(lease)
                self.since[lease.request_id] = now
            elif lease.id not in self.begun:
                self.begun.add(lease.id)
                request = self.pool.requests[lease.request_id]
                self.outcome.waits += [now - self.since[request.id]] if self._claims(request) and request.preemptions == 0 else []
                self._later(now + self.coming[request.id].lasts_s, lambda at, lease=lease: self._ends(at, lease))

    def _ends(self, now: float, lease: Lease) -> None:
        if lease.id in self.pool.leases:
            self.pool.release(now, lease.id, lease.token)

    def _has_use(self, lease: Lease) -> bool:
        """Whoever it stopped for wants the place, or has it by now."""
        return lease.notice is not None and lease.notice.request_id in self.pool.requests

    def _claims(self, request: Request) -> bool:
        return self.coming[request.id].claims

    def _idle(self) -> int:
        """Free GPUs, as far as somebody waits for one alone."""
        idle = 0
        for model in {model for model, _ in self.scene.nodes.values()}:
            free = sum(
                self.pool.free_milli(node.name, device.uuid) == 1000
                for node in self.pool.nodes.values()
                for device in node.devices
                if device.model == model
            )
            single = [one for one in self.pool.requests.values() if one.state is RequestState.WAITING and one.ask.gpus * one.ask.nodes == 1]
            idle += min(free, sum(not one.ask.models or model in one.ask.models for one in single))
        return idle

    def _later(self, at: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self.agenda, (at, next(self.order), what))


def _report(name: str, model: str, gpus: int) -> NodeReport:
    return NodeReport(name, {}, tuple(Device(f"{name}-{index}", index, model, MEMORY_MIB) for index in range(gpus)))


def table(found: dict[str, Outcome]) -> str:
    """For people."""
    lines = [f"{'':16}{'idle GPU-h':>12}{'claim p99 s':>13}{'needless':>10}"]
    for title, one in found.items():
        p99 = "-" if one.guarantee_wait_p99_s is None else f"{one.guarantee_wait_p99_s:.0f}"
        lines.append(f"{title:16}{one.idle_gpu_hours_with_waiters:>12.2f}{p99:>13}{one.needless_victims:>10}")
    return "\n".join(lines)
