"""Lists under churn: work comes and goes, and who finds no room waits or goes away."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path

from bench.placement.measure import POLICIES
from bench.placement.trace import number, read_pods, rows
from include.errors import InputError
from include.placement.node import FULL, Device, Node
from include.placement.placement import Grant
from include.placement.placer import Placer
from include.placement.stays import Stay as Held
from include.placement.workload import Workload

LAST = 4000
"""So many of the trace's pods, its last: before them months lie between some."""
LONGEST_S = 86_400.0
"""Pods that stay longer are left out: fifty of 8,152 hold nine tenths of the trace's GPU time, so a run would measure those fifty."""
WARM_UP = 0.3
"""The first part of the arrivals, in which the cluster fills: nothing is counted in it."""
SMALL = {"T4": 15360, "V100": 32768, "A10": 23028, "A100": 81920, "L4": 23034, "H100": 81559}
"""Models of small mixed fleets with their memory, MiB."""


@dataclass(frozen=True)
class Stay:
    """A request from ``at`` on, for ``duration_s`` once it has a place."""

    at: float
    duration_s: float
    request: Workload

    @property
    def gpus(self) -> float:
        return self.request.milli / FULL or self.request.gpus


@dataclass(frozen=True)
class Course:
    """What came of one run, after the warm-up, in %: ``allocation`` of the fleet's GPU while somebody had no room (who goes away counts
    until the next arrival that has a place), ``utilisation`` over all the time, ``accepted`` requests for GPUs that had a place at once."""

    allocation: float
    utilisation: float
    accepted: float


@dataclass(frozen=True)
class Scene:
    """A list: ``make`` draws by a seed the fleet and what comes; who finds no room waits (``queued``) or goes away."""

    queued: bool
    make: Callable[[int], tuple[list[Node], list[Stay]]]


def read_stays(path: Path) -> list[Stay]:
    """One a row, as the trace has it: from its creation, a second at least; by creation."""
    pods = read_pods(path)
    found = []
    for pod, (where, row) in zip(pods, rows(path, ("creation_time", "deletion_time")), strict=True):
        created, deleted = number(row, "creation_time", where), number(row, "deletion_time", where)
        if deleted < created:
            raise InputError(f"is deleted at {deleted}, created at {created}", where=where, remedy="Give seconds on one clock.")
        found.append(Stay(created, max(1.0, deleted - created), pod))
    found = sorted((stay for stay in found if stay.duration_s <= LONGEST_S), key=lambda stay: stay.at)[-LAST:]
    if not any(stay.request.devices for stay in found):
        raise InputError("no pod that stays for a day at most asks for a GPU", where=str(path), remedy="Give a list with such pods.")
    return found


def at_load(stays: Sequence[Stay], gpus: float, load: float) -> list[Stay]:
    """The same gaps between arrivals, all longer or shorter by one factor: so that ``load`` times the GPUs are wanted in the mean after the
    warm-up if nobody waits. How long each stays is as it was."""
    low, high = 1e-9, 1e3
    for _ in range(60):
        factor = (low * high) ** 0.5
        low, high = (low, factor) if _wanted([replace(stay, at=stay.at * factor) for stay in stays]) < load * gpus else (factor, high)
    return [replace(stay, at=stay.at * low) for stay in stays]


def _wanted(stays: Sequence[Stay]) -> float:
    """GPUs in the mean between the warm-up and the last arrival."""
    start, end = _window(stays)
    return sum(stay.gpus * max(0.0, min(stay.at + stay.duration_s, end) - max(stay.at, start)) for stay in stays) / max(end - start, 1e-9)


def _window(stays: Sequence[Stay]) -> tuple[float, float]:
    return stays[int(WARM_UP * len(stays))].at, stays[-1].at


def run(policy: str, scene: Scene, seed: int) -> Course:
    """One policy, one seed. Nothing but the place is the policy's: the line is first come, first served, past who has no room."""
    nodes, stays = scene.make(seed)
    placer = Placer(nodes, POLICIES[policy]([stay.request for stay in stays], seed))
    return _Played(placer, stays, scene.queued).course(FULL * sum(len(node.devices) for node in nodes))


class _Played:
    def __init__(self, placer: Placer, stays: Sequence[Stay], queued: bool) -> None:
        self.placer, self.stays, self.queued = placer, stays, queued
        self.waiting: dict[Workload, deque[tuple[int, Stay]]] = {}
        self.ends: list[tuple[float, int, Workload, Grant]] = []
        """When, by which key, what and where."""
        self.used = 0
        self.number = count()

    def course(self, capacity: int) -> Course:
        start, end = _window(self.stays)
        held = pressed = pressed_s = 0.0
        asked = accepted = 0
        short, now = False, self.stays[0].at
        for at, stay in self._events(end):
            lasted = max(0.0, min(at, end) - max(now, start))
            held += lasted * self.used
            if self.waiting or short:
                pressed, pressed_s = pressed + lasted * self.used, pressed_s + lasted
            now = at
            if stay is not None:
                placed = self._place(now, stay)
                counts = now >= start and stay.request.devices > 0
                asked, accepted = asked + counts, accepted + (counts and placed)
                if not placed and self.queued:
                    self.waiting.setdefault(stay.request, deque()).append((next(self.number), stay))
                elif not self.queued and stay.request.devices:
                    short = not placed
        return Course(
            100 * pressed / max(pressed_s, 1e-9) / capacity, 100 * held / (end - start) / capacity, 100 * accepted / max(asked, 1)
        )

    def _events(self, end: float) -> Iterator[tuple[float, Stay | None]]:
        """Arrivals, and ends of stays (None), which come first."""
        for stay in self.stays:
            yield from self._over(stay.at)
            yield stay.at, stay
        yield end, None

    def _over(self, until: float) -> Iterator[tuple[float, None]]:
        while self.ends and self.ends[0][0] <= until:
            at, key, request, grant = heapq.heappop(self.ends)
            yield at, None  # what was held until now counts first
            self.placer.policy.over(key, at)
            self._release(request, grant)
            self.placer.policy.at(at)
            if self.queued:
                self._freed(at)

    def _release(self, request: Workload, grant: Grant) -> None:
        self.placer.release(request, grant)
        self.used -= grant.milli * len(grant.indexes)

    def _freed(self, now: float) -> None:
        """Whoever has room now starts, in the order in which they came."""
        heads = [(line[0][0], request) for request, line in self.waiting.items()]
        heapq.heapify(heads)
        while heads:
            _, request = heapq.heappop(heads)
            grant = self.placer.find(request)
            if grant is None:
                continue
            line = self.waiting[request]
            self._start(now, line.popleft()[1], grant)
            if line:
                heapq.heappush(heads, (line[0][0], request))
            else:
                del self.waiting[request]

    def _place(self, now: float, stay: Stay) -> bool:
        self.placer.policy.at(now)
        self.placer.learn(stay.request)
        grant = self.placer.find(stay.request)
        if grant is not None:
            self._start(now, stay, grant)
        return grant is not None

    def _start(self, now: float, stay: Stay, grant: Grant) -> None:
        key, request = next(self.number), stay.request
        held = Held(grant.node, grant.indexes, grant.milli, request, now, None, request.cpu_milli, request.memory_mib)
        self.placer.policy.begun(key, held, now)  # when it will end is told to nobody
        self.placer.take(request, grant)
        self.used += grant.milli * len(grant.indexes)
        heapq.heappush(self.ends, (now + stay.duration_s, key, request, grant))


# Fleets and what comes


def scenes(nodes: Sequence[Node], stays: Sequence[Stay]) -> dict[str, Scene]:
    """By name. ``stays`` are those of the trace, ``nodes`` its cluster."""

    def drawn(load: float) -> Callable[[int], tuple[list[Node], list[Stay]]]:
        def make(seed: int) -> tuple[list[Node], list[Stay]]:
            rng = random.Random(seed)
            fleet = rng.sample(list(nodes), 24)
            return fleet, at_load(_turned(stays, rng), sum(len(node.devices) for node in fleet), load)

        return make

    def small(load: float, by_memory: float) -> Callable[[int], tuple[list[Node], list[Stay]]]:
        def make(seed: int) -> tuple[list[Node], list[Stay]]:
            rng = random.Random(seed)
            fleet = small_fleet(rng)
            wanted = [_small(stay, rng, by_memory) for stay in _turned(stays, rng) if stay.request.devices]
            return fleet, at_load(wanted[:1500], 20, load)

        return make

    return {
        "churn 1.0 queued": Scene(True, drawn(1.0)),
        "churn 1.1 dropped": Scene(False, drawn(1.1)),
        "churn 1.3 dropped": Scene(False, drawn(1.3)),
        "small 1.0 queued": Scene(True, small(1.0, 0.0)),
        "small 1.1 dropped": Scene(False, small(1.1, 0.0)),
        "small 30 % memory": Scene(False, small(1.1, 0.3)),
    }


def _turned(stays: Sequence[Stay], rng: random.Random) -> list[Stay]:
    """The trace's own order, gaps and stays, begun at another place of it."""
    first = rng.randrange(len(stays))
    order = [*stays[first:], *stays[:first]]
    turned, at = [], 0.0
    for before, stay in pairwise([order[0], *order]):
        at += max(0.0, stay.at - before.at)
        turned.append(replace(stay, at=at))
    return turned


def small_fleet(rng: random.Random) -> list[Node]:
    """Five machines of four GPUs; each has one model, or two of two GPUs: then placement sees two nodes. CPU and memory are not short."""
    fleet = []
    for machine in range(5):
        models = [rng.choice(sorted(SMALL))] * 4 if rng.random() < 0.5 else sorted(rng.sample(sorted(SMALL), 2) * 2)
        for model in sorted(set(models)):
            name = f"m{machine}-{model}"
            devices = tuple(Device(f"{name}/{index}", model, SMALL[model]) for index in range(models.count(model)))
            fleet.append(Node(name, 10**9, 10**9, devices))
    return fleet


def _small(stay: Stay, rng: random.Random, by_memory: float) -> Stay:
    """At most four GPUs, no CPU; ``by_memory`` of those that ask for a share ask for memory instead."""
    request = Workload(gpus=min(stay.request.gpus, 2), milli=stay.request.milli)
    if by_memory and rng.random() < by_memory:
        request = Workload(gpu_memory_mib=1024 * rng.choice((4, 6, 8, 10, 12, 16, 20, 24, 30, 40)))
    return replace(stay, request=request)
