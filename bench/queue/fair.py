"""Two teams that always want more than there is; one of them comes twelve hours late. What share of the GPU-hours each has after a day.

Each keeps ``WANTED`` requests in the pool, for a GPU each and for durations drawn anew: who has finished asks again.
"""

from __future__ import annotations

import heapq
import random
from itertools import count

from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import Config, Device, LeaseState, NodeReport

HOUR, DAY = 3600.0, 86400.0
GPUS, WANTED = 16, 24
COMES_AT = {"early": 0.0, "late": 12 * HOUR}
MEAN_S = 2400.0
SETTINGS = {"held now (today's)": (0.0, 0.0), "half-life 24 h": (24.0, HOUR), "half-life 24 h, at most 4 h later": (24.0, 4 * HOUR)}
"""Title → half-life in hours, the longest delay in seconds."""


def shares(half_life_hours: float, delay_s: float, seed: int = 1) -> tuple[float, float, float]:
    """The late team's share of what was used in the day, and of its second half; and the longest that anybody waited (seconds)."""
    ids, dice, silent = count(), random.Random(seed), 1e9
    config = Config(
        *(silent, silent), node_silent_s=silent, node_grace_s=silent, fair_half_life_hours=half_life_hours, fair_delay_s=delay_s
    )
    pool = Pool(config, ids=lambda: f"{next(ids):06d}")
    devices = tuple(Device(f"g{index}", index, "H100-80GB", 80 * 1024) for index in range(GPUS))
    pool.report(0.0, "bench", "declared", 1, 0.0, [NodeReport("a", {}, devices)])
    agenda = [(at, next(ids), team, "") for team, at in COMES_AT.items() for _ in range(WANTED)]
    heapq.heapify(agenda)
    begun: dict[str, float] = {}
    used = {(team, half): 0.0 for team in COMES_AT for half in (0, 1)}
    longest = 0.0
    while (now := min(agenda[0][0], pool.next_due() or silent)) < DAY:
        while agenda[0][0] <= now:
            _, _, team, ended = heapq.heappop(agenda)
            if ended:
                pool.release(now, ended, pool.leases[ended].token)
            pool.submit(now, f"{team}-{next(ids)}", "bench", Ask(gpus=1, team=team, preemptible=False))
        pool.tick(now)
        for lease in pool.take_changes().leases.values():
            if lease.state is not LeaseState.ENDED and lease.id not in begun:
                begun[lease.id] = now
                request, lasts = pool.requests[lease.request_id], dice.expovariate(1 / MEAN_S)
                longest = max(longest, now - request.submitted_at)
                heapq.heappush(agenda, (now + lasts, next(ids), request.ask.team, lease.id))
                for half in (0, 1):
                    inside = min(now + lasts, DAY / 2 * (half + 1)) - max(now, DAY / 2 * half)
                    used[request.ask.team, half] += max(0.0, inside)
    late = used["late", 0] + used["late", 1]
    return late / sum(used.values()), used["late", 1] / (used["late", 1] + used["early", 1]), longest


def measure(seeds: int = 3) -> dict[str, dict[str, float]]:
    """Each of ``SETTINGS``: means over seeds, the longest wait over all."""
    found = {}
    for title, (half_life_hours, delay_s) in SETTINGS.items():
        runs = [shares(half_life_hours, delay_s, seed) for seed in range(1, seeds + 1)]
        day, second = (sum(run[column] for run in runs) / seeds for column in (0, 1))
        found[title] = {"late_share_24h": day, "late_share_12h": second, "longest_wait_s": max(run[2] for run in runs)}
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """For people."""
    lines = [f"{'Two teams, one comes 12 h late':36}{'its share, 24 h':>16}{'of the last 12 h':>18}{'longest wait':>14}"]
    for title, one in found.items():
        lines.append(f"{title:36}{one['late_share_24h']:>16.1%}{one['late_share_12h']:>18.1%}{one['longest_wait_s'] / HOUR:>12.1f} h")
    return "\n".join(lines)
