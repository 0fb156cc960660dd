"""Airflow's own pools tell the truth too: one for every GPU model, with as many slots as devices are in service."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from gpu_pool.view import View
from include.pool.pool import Pool

EVERY_S = 1.0
PREFIX = "gpu "
KEPT = "Kept by Updraft's GPU pool"
LOG = logging.getLogger(__name__)
Wanted = dict[str, tuple[int, str]]
"""Pool name → slots and description."""


class Mirror:
    """Writes what has changed, in a thread of its own: leases don't wait for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu-pool-mirror")
        self._shown: Wanted | None = None
        self._looked_at = 0.0

    def show(self, view: View) -> None:
        """Called by the broker after every batch; looks no more often than once a second."""
        if not 0 <= view.now - self._looked_at < EVERY_S:
            self._looked_at = view.now
            found = wanted(view.pool)
            if found != self._shown:
                self._shown = found
                self._thread.submit(self._write, found)

    def stop(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _write(self, found: Wanted) -> None:
        try:
            write(found)
        except Exception as error:
            LOG.warning("GPU pool: Airflow's pools could not be brought up to date: %s", error)
            time.sleep(EVERY_S)
            self._shown = None


def wanted(pool: Pool) -> Wanted:
    """Devices in service by model, and how much of them is leased."""
    slots: Counter[str] = Counter()
    leased: Counter[str] = Counter()
    for node in pool.nodes.values():
        for device in node.devices:
            name = PREFIX + f"{device.model} {device.mig}".strip()
            slots[name] += node.in_service and not device.failed
            leased[name] += sum(pool.leased_milli(node.name, device.uuid).values())
    return {
        name: (count, f"{KEPT}: {leased[name] / 1000:g} leased, {max(0.0, count - leased[name] / 1000):g} free.")
        for name, count in slots.items()
    }


def write(found: Wanted) -> None:
    """One of ours whose model is gone keeps its row, with no slots: tasks may name it."""
    from airflow.models.pool import Pool as AirflowPool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        there = {row.pool: row for row in session.scalars(select(AirflowPool).where(AirflowPool.pool.startswith(PREFIX)))}
        gone = {name: (0, f"{KEPT}: none there.") for name, row in there.items() if (row.description or "").startswith(KEPT)}
        for name, (slots, description) in (gone | found).items():
            row = there.get(name)
            if row is None:
                session.add(AirflowPool(pool=name, slots=slots, description=description, include_deferred=False))
            elif (row.slots, row.description) != (slots, description):
                row.slots, row.description = slots, description
