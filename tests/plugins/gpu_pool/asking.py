"""What a broker's tests ask: a fleet, a request, a lease given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import select

from gpu_pool.broker import Broker
from gpu_pool.db import rows
from gpu_pool.db.store import LEASE, Store
from gpu_pool.view import View
from include.pool.ask import Ask
from include.pool.state import Device, Lease, LeaseState, NodeReport, Request

PATIENCE_S = 60.0


def node(name: str = "gpu-a", gpus: int = 2, failed: str = "", sharing: str = "time-slice") -> NodeReport:
    devices = [Device(f"{name}-{number}", number, "H100-80GB", 80 * 1024, sharing, failed=failed) for number in range(gpus)]
    return NodeReport(name, {}, tuple(devices))


def report(broker: Broker, sequence: int, *nodes: NodeReport, reporter: str = "gpu-a") -> None:
    broker.change(lambda pool, now: pool.report(now, reporter, "declared", sequence, now, nodes), lambda view, _: None).result(PATIENCE_S)


def submit(broker: Broker, key: str, ask: Ask, holder: str = "olaf") -> Future[dict[str, Any]]:
    return broker.change(lambda pool, now: pool.submit(now, key, holder, ask), lambda view, found: view.request(found, holder))


def release(broker: Broker, lease: dict[str, Any], requeue: bool = False) -> Future[Lease]:
    return broker.change(lambda pool, now: pool.release(now, lease["id"], lease["token"], requeue), lambda view, found: found)


def renew(broker: Broker, lease: dict[str, Any]) -> Future[Lease]:
    return broker.change(lambda pool, now: pool.renew(now, lease["id"], lease["token"]), lambda view, found: found)


def live(broker: Broker) -> list[Lease]:
    return broker.look(lambda view: list(view.pool.leases.values())).result(PATIENCE_S)


def waiting(view: View) -> list[Request]:
    return view.line


def kept(url: str) -> list[Lease]:
    """Every lease in the database, ended or not."""
    store = Store(url)
    with store.reading() as connection:
        found = [rows.lease(row) for row in connection.execute(select(LEASE)).mappings()]
    store.engine.dispose()
    return found


def oversubscribed(leases: Iterable[Lease]) -> dict[str, int]:
    """Devices with more than 1000 thousandths given out at once by leases that live."""
    held: Counter[str] = Counter()
    for lease in leases:
        if lease.state is not LeaseState.ENDED:
            held.update({uuid: grant.milli for grant in lease.grants for uuid in grant.uuids})
    return {uuid: milli for uuid, milli in held.items() if milli > 1000}


def overlaps(leases: Iterable[Lease]) -> list[tuple[str, float]]:
    """Device and moment at which it was given out more than once over: the whole history, not only the end of it."""
    moves: list[tuple[float, int, str]] = []
    for lease in leases:
        for grant in lease.grants:
            for uuid in grant.uuids:
                moves.append((lease.granted_at, grant.milli, uuid))
                if lease.ended_at is not None:
                    moves.append((lease.ended_at, -grant.milli, uuid))
    found, held = [], Counter[str]()
    for at, milli, uuid in sorted(moves):
        held[uuid] += milli
        if held[uuid] > 1000:
            found.append((uuid, at))
    return found
