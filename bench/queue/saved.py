"""What stops cost where some save checkpoints: sixteen leases hold all GPUs, some save every five minutes, others every hour or never; now
and then somebody more important needs a GPU for a while.

Of what was lost, that part is needless which another choice of as few and as unimportant victims would have kept.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import count

from include.pool.ask import Ask
from include.pool.order import rank
from include.pool.pool import Pool
from include.pool.state import Config, Device, Lease, LeaseState, NodeReport

HOUR = 3600.0
GPUS, UNTIL_S, EVERY_S, LASTS_S = 16, 24 * HOUR, 1500.0, 600.0
CLAIM = 9
SAVES_S = (300.0, 900.0, 3600.0, None)
"""Between two checkpoints of a lease, drawn for each (None: it never saves)."""


@dataclass(frozen=True)
class Cost:
    """Over the day, GPU-seconds of work that was done again."""

    lost: float
    needless: float
    stops: int


def play(told: bool, seed: int = 1) -> Cost:
    """``told``: holders tell the pool of their checkpoints."""
    ids, dice, silent = count(), random.Random(seed), 1e9
    pool = Pool(Config(silent, silent, node_silent_s=silent, node_grace_s=silent), ids=lambda: f"{next(ids):06d}")
    devices = tuple(Device(f"g{index}", index, "H100-80GB", 80 * 1024) for index in range(GPUS))
    pool.report(0.0, "bench", "declared", 1, 0.0, [NodeReport("a", {}, devices)])
    every = {}
    for number in range(GPUS):
        request = pool.submit(0.0, f"k{number}", "bench", Ask(gpus=1, priority=2))
        every[request.id] = dice.choice(SAVES_S)
    agenda: list[tuple[float, int, str, str]] = [(at, next(ids), "claim", "") for at in _spread(dice)]
    saved: dict[str, float] = {}
    known: set[str] = set()
    lost = needless = 0.0
    stops, now = 0, 0.0
    while now < UNTIL_S:
        while agenda and agenda[0][0] <= now:
            _, _, what, lease_id = heapq.heappop(agenda)
            lease = pool.leases.get(lease_id)
            if what == "claim":
                pool.submit(now, f"claim{now}", "bench", Ask(gpus=1, priority=CLAIM, preemptible=False))
            elif lease is not None and what == "save":
                saved[lease_id] = now
                pool.renew(now, lease_id, lease.token, 0.0 if told else None)
                heapq.heappush(agenda, (now + (every[lease.request_id] or silent), next(ids), "save", lease_id))
            elif lease is not None:
                pool.release(now, lease_id, lease.token, requeue=what == "stop")
        pool.tick(now)
        for lease in pool.take_changes().leases.values():
            if lease.state is LeaseState.NOTICED and lease.id not in known:
                known.add(lease.id)
                costs = {one.id: now - max(one.granted_at, saved.get(one.id, 0.0)) for one in _may_stop(pool, lease)}
                stops, lost, needless = stops + 1, lost + costs[lease.id], needless + costs[lease.id] - min(costs.values())
                heapq.heappush(agenda, (now, next(ids), "stop", lease.id))
            elif lease.state is LeaseState.ACTIVE and lease.id not in saved:
                saved[lease.id] = now
                ends, what = (every[lease.request_id] or silent, "save") if lease.request_id in every else (LASTS_S, "end")
                heapq.heappush(agenda, (now + ends, next(ids), what, lease.id))
        now = min(agenda[0][0] if agenda else UNTIL_S, max(now, pool.next_due() or UNTIL_S))
    return Cost(lost, needless, stops)


def _may_stop(pool: Pool, lease: Lease) -> list[Lease]:
    """This lease, which was chosen, and those that the rules would have let stop in its place."""
    return [
        one
        for one in pool.leases.values()
        if one is lease or (pool.requests[one.request_id].ask.preemptible and one.notice is None and _rank(pool, one) + 1 <= CLAIM)
    ]


def _rank(pool: Pool, lease: Lease) -> float:
    return rank(pool.requests[lease.request_id], lease.granted_at, pool.config.ageing_s)


def _spread(dice: random.Random) -> list[float]:
    found, at = [], HOUR
    while at < UNTIL_S:
        found.append(at)
        at += dice.uniform(0.5, 1.5) * EVERY_S
    return found


def measure(seeds: int = 3) -> dict[str, dict[str, float]]:
    """With and without word of checkpoints: means over seeds."""
    found = {}
    for title, told in {"since the lease began (as before)": False, "since the last checkpoint": True}.items():
        runs = [play(told, seed) for seed in range(1, seeds + 1)]
        found[title] = {name: sum(getattr(run, name) for run in runs) / seeds for name in ("lost", "needless", "stops")}
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """For people."""
    lines = [f"{'The cost of a victim is its work':36}{'lost GPU-s':>12}{'needless':>10}{'stops':>8}"]
    for title, one in found.items():
        lines.append(f"{title:36}{one['lost']:>12,.0f}{one['needless']:>10,.0f}{one['stops']:>8.0f}")
    return "\n".join(lines)
