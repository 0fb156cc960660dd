"""The pool's figures in Prometheus' text format."""

from __future__ import annotations

from collections import Counter

from gpu_pool.view import View
from include import prometheus
from include.pool.state import LeaseState, RequestState
from include.prometheus import Labels, Series


def metrics_text(view: View) -> str:
    """Gauges of devices, leases, the queue and teams."""
    pool, now = view.pool, view.now
    lines: list[str] = []
    capacity: Counter[Labels] = Counter()
    leased, foreign, used = Counter(capacity), Counter(capacity), Counter(capacity)
    up: dict[Labels, float] = {}
    for node in pool.nodes.values():
        up[(("node", node.name),)] = 1 if node.in_service else 0
        for device in node.devices:
            who = (("node", node.name), ("gpu", str(device.index)), ("model", f"{device.model} {device.mig}".strip()))
            capacity[who] += 0 if device.failed or not (node.burst is None or node.in_service) else 1000
            leased[who] += sum(pool.leased_milli(node.name, device.uuid).values())
            foreign[who] += pool.foreign_mib(node.name, device.uuid)
            used[who] += device.used_mib
    waiting: Counter[Labels] = Counter()
    oldest = 0.0
    for request in pool.requests.values():
        if request.state is RequestState.WAITING:
            waiting[("team", request.ask.team), ("priority", str(request.ask.priority))] += 1
            oldest = max(oldest, now - request.submitted_at)
    states: Counter[Labels] = Counter((("state", lease.state.value.lower()),) for lease in pool.leases.values())
    for state in (LeaseState.ACTIVE, LeaseState.NOTICED):
        states.setdefault((("state", state.value.lower()),), 0)
    _gauge(lines, "node_in_service", "1 if the node gets new leases.", up)
    _gauge(lines, "device_capacity_milli", "Thousandths of the device that may be leased.", capacity)
    _gauge(lines, "device_leased_milli", "Thousandths of the device that are leased.", leased)
    _gauge(lines, "device_used_mebibytes", "Memory in use, as the device reports it.", used)
    _gauge(lines, "device_foreign_mebibytes", "Memory in use that no lease accounts for.", foreign)
    _gauge(lines, "requests_waiting", "Requests in the queue.", waiting)
    _gauge(lines, "oldest_wait_seconds", "How long the longest waiting request has waited.", {(): round(oldest, 3)})
    _gauge(lines, "leases", "Live leases.", states)
    _gauge(lines, "team_gpus", "GPUs that a team holds.", {(("team", team),): value for team, value in pool.team_use().items()})
    past: Series = {(("team", team),): round(hours, 3) for team, hours in pool.team_past(now).items()}
    _gauge(lines, "team_past_gpu_hours", "GPU-hours that a team has used, by half after the setting's half-life.", past)
    spent = pool.burst_spent(now)
    if spent or any(node.burst is not None for node in pool.nodes.values()):
        _gauge(lines, "burst_spent", "What nodes by the hour have cost in the last 24 hours.", {(): round(spent, 3)})
        _gauge(lines, "burst_budget", "What they may cost in 24 hours.", {(): pool.config.burst_budget_per_day})
    return "\n".join(lines) + "\n"


def _gauge(lines: list[str], name: str, about: str, series: Series) -> None:
    lines.extend(prometheus.metric(f"updraft_gpu_{name}", "gauge", about, series))
