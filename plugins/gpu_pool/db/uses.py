"""What leases took between two times, out of whoever's connection to the database."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select
from sqlalchemy.orm import Session

from gpu_pool.db import rows
from gpu_pool.db.store import USE
from include.cost.gpu_use import GpuUse


def between(connection: Connection | Session, begin: float, end: float) -> list[GpuUse]:
    """Return the uses of leases that lived at some moment from ``begin`` on and before ``end`` (seconds since the epoch)."""
    query = select(USE).where(USE.c.began_at < end, or_(USE.c.ended_at.is_(None), USE.c.ended_at > begin))
    return [rows.use(dict(row)) for row in connection.execute(query).mappings()]
