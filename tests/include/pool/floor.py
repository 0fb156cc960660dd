"""A pool on paper for the tests: nodes, a clock that the test moves, holders who behave."""

from __future__ import annotations

from itertools import count
from typing import Any

from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Config, Device, Grant, Lease, NodeReport, Process, Request, RequestState

GIB80 = 81_920


def gpus(node: str, number: int, *, model: str = "H100-80GB", memory_mib: int = GIB80, sharing: str = "", mig: str = "") -> list[Device]:
    return [Device(f"{node}-{mig}{index}", index, model, memory_mib, sharing=sharing, mig=mig) for index in range(number)]


class Floor:
    """``pool`` with one reporter for each node, whose reports never fall silent unless a test wants it."""

    def __init__(self, config: Config | None = None, **nodes: int | list[Device]) -> None:
        numbers = count()
        quiet = Config(lease_ttl_s=1e9, waiting_ttl_s=1e9, node_silent_s=1e9, node_grace_s=1e9)
        self.pool = Pool(config or quiet, ids=lambda: f"id{next(numbers):05d}")
        self.now = 0.0
        self.devices = {name: gpus(name, what) if isinstance(what, int) else what for name, what in nodes.items()}
        self.labels: dict[str, dict[str, str]] = {}
        self._sequence = count(1)
        for name in self.devices:
            self.report(name)

    def report(self, name: str, reporter: str = "", source: str = "declared") -> None:
        node = NodeReport(name, self.labels.get(name, {}), tuple(self.devices[name]))
        self.pool.report(self.now, reporter or name, source, next(self._sequence), self.now, [node])

    def ask(self, key: str, **fields: Any) -> Request:
        """Submit, without a tick: several may come at once."""
        return self.pool.submit(self.now, key, "user", Ask.from_json(fields))

    def start(self, key: str, **fields: Any) -> Request:
        request = self.ask(key, **fields)
        self.pool.tick(self.now)
        return request

    def at(self, now: float) -> None:
        self.now = now
        self.pool.tick(now)

    def lease(self, request: Request) -> Lease:
        return self.pool.leases[request.lease_id]

    def grants(self, request: Request) -> tuple[Grant, ...]:
        return self.lease(request).grants

    def release(self, request: Request, requeue: bool = False) -> None:
        lease = self.lease(request)
        self.pool.release(self.now, lease.id, lease.token, requeue)
        self.pool.tick(self.now)

    def running(self, *requests: Request) -> list[bool]:
        return [request.state is RequestState.GRANTED for request in requests]


def process(memory_mib: int | None, lease: str = "") -> Process:
    return Process(4711, "python", memory_mib, lease)
