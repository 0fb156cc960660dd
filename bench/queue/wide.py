"""How long the pool's own code takes on wide fleets: a search for victims, a pass over a long queue. Seconds of processor time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from include.pool import may_stop
from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.schedule import Pass
from include.pool.state import Config, Device, Grant, Lease, LeaseState, Node, Quota, Request, RequestState

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


def _node(name: str, model: str, gpus: int, sharing: str = "") -> Node:
    devices = tuple(Device(f"{name}-{index}", index, model, MEMORY_MIB, sharing=sharing) for index in range(gpus))
    return Node(name, "bench", "declared", {}, devices, 0.0, 1)


def search_s(nodes: int = 50, gpus: int = 16) -> float:
    """The slowest of searches for 8 GPUs, a whole node, and 8 GPUs on each of 4 nodes, on a full fleet."""
    pool = full(nodes, gpus, ("H100-80GB",), random.Random(1), [])
    asks = (Ask(gpus=8, priority=9), Ask(gpus=gpus, priority=9), Ask(gpus=8, nodes=4, priority=9))
    return max(_search_s(pool, ask) for ask in asks)


def _search_s(pool: Pool, ask: Ask) -> float:
    """Of one search, with all that it needs to know."""
    head = Request("~", "head", "bench", ask, RequestState.WAITING, 2.0, 2.0, 2.0)
    return _timed(lambda: may_stop.search(pool._ledger, 2.0, head, False).cheapest(ask))


def hard_search_s(seeds: int = 3) -> dict[str, float]:
    """The slowest search on each kind of hard fleet, 50 nodes of 16: leases of equal priority, or of six; with teams' guarantees or not."""
    gangs = [Ask(gpus=8, nodes=4, priority=9), Ask(gpus=16, nodes=8, priority=9), Ask(gpus=4, nodes=16, priority=9)]
    shares = [Ask(fraction=0.7, priority=9), Ask(gpus=1, priority=9), Ask(gpus=4, nodes=4, priority=9)]
    found: dict[str, float] = {}
    for name, lay_out in HARD.items():
        for seed in range(1, seeds + 1):
            for levels in (1, 6):
                for guaranteed in (False, True):
                    pool = _hard(lay_out, random.Random(seed), levels, guaranteed)
                    slowest = max(_search_s(pool, ask) for ask in (shares if lay_out is _shares else [Ask(gpus=16, priority=9), *gangs]))
                    found[name] = max(found.get(name, 0.0), slowest)
    return found


Held = tuple[int, list[tuple[str, list[int]]]]
"""What a lease holds: thousandths, and of which nodes which GPUs."""


def _alone(dice: random.Random, free: dict[str, list[int]]) -> Iterator[Held]:
    yield from ((1000, [(node, [index])]) for node, some in free.items() for index in some)


def _mixed(dice: random.Random, free: dict[str, list[int]]) -> Iterator[Held]:
    for node, some in free.items():
        while some:
            number = dice.choice(SIZES)
            yield 1000, [(node, some[:number])]
            some = some[number:]


def _spanning(dice: random.Random, free: dict[str, list[int]]) -> Iterator[Held]:
    for _ in range(50):
        number = dice.choice((1, 2, 4))
        nodes = dice.sample(sorted(node for node, some in free.items() if len(some) >= number), dice.choice((2, 3, 4)))
        yield 1000, [(node, [free[node].pop() for _ in range(number)]) for node in nodes]
    yield from _mixed(dice, free)


def _shares(dice: random.Random, free: dict[str, list[int]]) -> Iterator[Held]:
    for node, some in free.items():
        for index in some:
            left = 1000
            while left >= 100:
                milli = dice.choice([size for size in (100, 150, 200, 250, 300, 400) if size <= left])
                left -= milli
                yield milli, [(node, [index])]


HARD = {"each GPU leased alone": _alone, "leases of 1 to 8": _mixed, "50 of them on 2 to 4 nodes each": _spanning, "shares": _shares}


def _hard(lay_out: Callable[..., Iterator[Held]], dice: random.Random, levels: int, guaranteed: bool) -> Pool:
    pool, leases, requests = Pool(QUIET), list[Lease](), list[Request]()
    sharing = "mps" if lay_out is _shares else ""
    fleet = [_node(f"n{number:04d}", "H100-80GB", 16, sharing) for number in range(50)]
    for milli, held in lay_out(dice, {node.name: list(range(16)) for node in fleet}):
        name, at = f"h{len(leases):06d}", dice.random()
        size = {"gpus": len(held[0][1]), "nodes": len(held)} if milli == 1000 else {"fraction": milli / 1000}
        grace = dice.choice((5.0, 10.0, 30.0, 60.0))
        ask = Ask(**size, priority=dice.randint(1, levels), team=dice.choice("abcd"), grace_s=grace)  # type: ignore[arg-type]
        grants = tuple(
            Grant(node, tuple(f"{node}-{index}" for index in some), tuple(some), "H100-80GB", milli, MEMORY_MIB * milli // 1000)
            for node, some in held
        )
        requests.append(Request(name, name, "bench", ask, RequestState.GRANTED, at, at, at, lease_id=name))
        leases.append(Lease(name, name, len(leases) + 1, LeaseState.ACTIVE, grants, at, 1e9, at))
    pool.restore(fleet, requests, leases, [], len(leases) + 1)
    for team, use in pool.team_use().items() if guaranteed else ():
        pool.set_quota(0.0, Quota(team, max(0, int(use) - dice.choice((2, 6, 10, 20)))), "bench")
    return pool


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
