"""How long the pool's own code takes on wide fleets: a search for victims, a pass over a long queue. Seconds of processor time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from include.pool import may_stop
from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.schedule import Pass
from include.pool.state import Config, Device, Grant, Lease, LeaseState, Node, Request, RequestState

MEMORY_MIB = 80 * 1024
SIZES = (1, 2, 3, 4, 8)
QUIET = Config(lease_ttl_s=1e9, waiting_ttl_s=1e9, node_silent_s=1e9, node_grace_s=1e9)


def full(nodes: int, gpus: int, models: tuple[str, ...], dice: random.Random, waiting: list[Ask]) -> Pool:
    """So many nodes, their models in turn, all held by leases of every size and priority up to 6; and who waits."""
    pool, leases, requests = Pool(QUIET), [], []
    fleet = [_node(f"n{number:04d}", models[number % len(models)], gpus) for number in range(nodes)]
    for node in fleet:
        free = list(node.devices)
        while free:
            taken = free[: dice.choice(SIZES)]
            free = free[len(taken) :]
            ask = Ask(gpus=len(taken), priority=dice.randint(1, 6), team=dice.choice("abcd"), duration_s=dice.choice((None, 7200.0)))
            name, at = f"h{len(leases):06d}", dice.random()
            indexes = tuple(device.index for device in taken)
            grant = Grant(node.name, tuple(device.uuid for device in taken), indexes, taken[0].model, 1000, MEMORY_MIB)
            requests.append(Request(name, name, "bench", ask, RequestState.GRANTED, at, at, at, lease_id=name))
            leases.append(Lease(name, name, len(leases) + 1, LeaseState.ACTIVE, (grant,), at, 1e9, at))
    for number, ask in enumerate(waiting):
        at = 3.0 + number / 100
        requests.append(Request(f"w{number:06d}", f"w{number}", "bench", ask, RequestState.WAITING, at, at, at))
    pool.restore(fleet, requests, leases, [], len(leases) + 1)
    return pool


def _node(name: str, model: str, gpus: int) -> Node:
    devices = tuple(Device(f"{name}-{index}", index, model, MEMORY_MIB) for index in range(gpus))
    return Node(name, "bench", "declared", {}, devices, 0.0, 1)


def search_s(nodes: int = 50, gpus: int = 16) -> float:
    """The slowest of searches for 8 GPUs, a whole node, and 8 GPUs on each of 4 nodes, on a full fleet."""
    pool = full(nodes, gpus, ("H100-80GB",), random.Random(1), [])
    asks = (Ask(gpus=8, priority=9), Ask(gpus=gpus, priority=9), Ask(gpus=8, nodes=4, priority=9))
    heads = [Request("~", "head", "bench", ask, RequestState.WAITING, 2.0, 2.0, 2.0) for ask in asks]
    return max(_timed(lambda head=head: may_stop.search(pool._ledger, 2.0, head, False).cheapest(head.ask)) for head in heads)


def pass_s(waiting: int = 10_000, nodes: int = 1_000, gpus: int = 8) -> float:
    """A whole pass over a queue of that length on a full fleet of two models, the second time: as any pass after a change."""
    dice = random.Random(2)
    models = ("H100-80GB", "A100-80GB")
    asks = [
        Ask(
            gpus=dice.choice(SIZES),
            priority=dice.randint(1, 8),
            team=dice.choice("abcd"),
            models=dice.choice(((), models[:1], models[1:])),
            duration_s=dice.choice((None, 600.0, 7200.0)),
        )
        for _ in range(waiting)
    ]
    pool = full(nodes, gpus, models, dice, asks)
    pool.tick(200.0)
    lease = next(iter(pool.leases.values()))
    pool.release(230.0, lease.id, lease.token)
    return _timed(lambda: Pass(pool._ledger, pool._ready).run(230.0))


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
