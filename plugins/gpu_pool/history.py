"""What is kept of the past: each node's curve, and what has ended. And how long."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from sqlalchemy import Connection, delete

from gpu_pool.db.store import EVENT, LEASE, REQUEST, SAMPLE, USE, Store
from include.pool.pool import Pool
from include.pool.state import Node

SAMPLE_S = 30
SAMPLES_KEPT_S = 7 * 86400.0
ENDED_KEPT_S = 30 * 86400.0
USES_KEPT_S = 800 * 86400.0
"""Two years and a month: what a month of last year cost can be told."""
CLEAR_S = 3600.0


class History:
    """Samples every node at each half minute; API servers that do so at once write the same row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sampled, self._cleared_at = 0, 0.0

    def due(self, now: float) -> bool:
        return slot(now) > self._sampled

    def write(self, connection: Connection, pool: Pool, now: float) -> None:
        """Does what is due."""
        if not self.due(now):
            return
        at = slot(now)
        nodes = [sample(pool, node, at) for node in pool.nodes.values() if not node.lost and (node.burst is None or node.in_service)]
        self._store.put(connection, SAMPLE, nodes, replace=False)
        if now - self._cleared_at >= CLEAR_S:
            clear(connection, now)
            self._cleared_at = now
        self._sampled = at


def slot(now: float) -> int:
    return int(now // SAMPLE_S) * SAMPLE_S


def sample(pool: Pool, node: Node, at: int) -> dict[str, Any]:
    """One point of a node's curve. Readings that no device gives are None."""
    devices = node.devices
    return {
        "node": node.name,
        "at": at,
        "capacity_milli": sum(1000 for device in devices if not device.failed),
        "leased_milli": sum(sum(pool.leased_milli(node.name, device.uuid).values()) for device in devices),
        "foreign_mib": sum(pool.foreign_mib(node.name, device.uuid) for device in devices),
        "used_mib": sum(device.used_mib for device in devices),
        "memory_mib": sum(device.memory_mib for device in devices),
        "utilisation_pct": _mean(node, "utilisation_pct"),
        "temperature_c": _mean(node, "temperature_c"),
        "power_w": _total(node, "power_w"),
    }


def clear(connection: Connection, now: float) -> None:
    """Forgets what is old."""
    connection.execute(delete(SAMPLE).where(SAMPLE.c.at < now - SAMPLES_KEPT_S))
    connection.execute(delete(EVENT).where(EVENT.c.at < now - ENDED_KEPT_S))
    for table in (REQUEST, LEASE):
        connection.execute(delete(table).where(table.c.ended_at < now - ENDED_KEPT_S))
    connection.execute(delete(USE).where(USE.c.ended_at < now - USES_KEPT_S))


def _readings(node: Node, name: str) -> list[float]:
    return [device.readings[name] for device in node.devices if name in device.readings]


def _mean(node: Node, name: str) -> float | None:
    found = _readings(node, name)
    return fmean(found) if found else None


def _total(node: Node, name: str) -> float | None:
    found = _readings(node, name)
    return sum(found) if found else None
