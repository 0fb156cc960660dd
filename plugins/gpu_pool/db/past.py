"""What is no longer in the pool: ended requests and leases, events, curves. Read from the tables, without waiting for anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, desc, select

from gpu_pool.db import rows
from gpu_pool.db.store import EVENT, LEASE, REQUEST, SAMPLE, Store
from include.pool.state import Lease, LeaseState, Request, RequestState

Ended = tuple[Lease, Request | None]


class Past:
    def __init__(self, store: Store) -> None:
        self._store = store

    def request(self, request_id: str) -> Request | None:
        """One request, ended or not."""
        row = self._one(select(REQUEST).where(REQUEST.c.id == request_id))
        return rows.request(row) if row else None

    def lease(self, lease_id: str) -> Ended | None:
        """One lease, ended or not, with its request."""
        row = self._one(select(LEASE).where(LEASE.c.id == lease_id))
        return (rows.lease(row), self.request(row["request_id"])) if row else None

    def requests(self, limit: int, team: str | None = None, key: str | None = None) -> list[Request]:
        """Ended ones, the latest first."""
        query = select(REQUEST).where(REQUEST.c.state == RequestState.ENDED).order_by(desc(REQUEST.c.ended_at)).limit(limit)
        if team is not None:
            query = query.where(REQUEST.c.team == team)
        if key is not None:
            query = query.where(REQUEST.c.key == key)
        return [rows.request(row) for row in self._all(query)]

    def leases(self, limit: int) -> list[Ended]:
        """Ended ones, the latest first."""
        return self._leases(select(LEASE).where(LEASE.c.state == LeaseState.ENDED), limit)

    def _leases(self, which: Select[Any], limit: int) -> list[Ended]:
        leases = [rows.lease(row) for row in self._all(which.order_by(desc(LEASE.c.ended_at)).limit(limit))]
        ids = {lease.request_id for lease in leases}
        requests = {row["id"]: rows.request(row) for row in self._all(select(REQUEST).where(REQUEST.c.id.in_(ids)))}
        return [(lease, requests.get(lease.request_id)) for lease in leases]

    def measured(self, limit: int) -> list[Ended]:
        """Ended leases whose use of memory is known, the latest first."""
        return self._leases(select(LEASE).where(LEASE.c.state == LeaseState.ENDED, LEASE.c.peak_mib.is_not(None)), limit)

    def events(self, limit: int, after: int | None = None, node: str | None = None) -> list[dict[str, Any]]:
        """The latest first; ``after`` the id of one that is known."""
        query = select(EVENT).order_by(desc(EVENT.c.id)).limit(limit)
        if after is not None:
            query = query.where(EVENT.c.id > after)
        if node is not None:
            query = query.where(EVENT.c.node == node)
        return self._all(query)

    def samples(self, node: str, since: float) -> list[dict[str, Any]]:
        """A node's curve, the oldest first."""
        return self._all(select(SAMPLE).where(SAMPLE.c.node == node, SAMPLE.c.at >= since).order_by(SAMPLE.c.at))

    def _all(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._store.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _one(self, query: Select[Any]) -> dict[str, Any] | None:
        return next(iter(self._all(query)), None)
