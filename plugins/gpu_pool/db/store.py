"""The pool's tables as the broker uses them: one transaction at a time, over all API servers, in which the pool is read and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, delete, event, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from gpu_pool.db import at_once, models, rows
from include.cost.gpu_use import uses
from include.errors import InputError
from include.pool.fair import Account
from include.pool.ledger import Changes
from include.pool.pool import Pool
from include.pool.state import LeaseState, RequestState
from include.prices.table import defaults

BUSY_S = 30.0
"""How long a writer waits for another one."""
AT_ONCE = 500
"""So many names stand in one statement: SQLite takes no more than some thousands."""
INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@dataclass
class Turn:
    """A writer's turn: nobody else changes the pool until its transaction ends."""

    connection: Connection
    version: int
    next_token: int


class Store:
    """By an engine of its own on Airflow's database: SQLite must begin its transactions as a writer, which Airflow's engine does not."""

    def __init__(self, url: str, is_spot: Callable[[Mapping[str, str]], bool] | None = None) -> None:
        """``is_spot`` says by its labels whether a node is let go at spot rates; without it the project's price table does."""
        self._is_spot = is_spot or defaults().is_spot
        name = make_url(url).get_backend_name()
        if name not in INSERT:
            raise InputError(f"The GPU pool can't keep its tables in {name}.", where="database", remedy="Use PostgreSQL or SQLite.")
        self._insert = INSERT[name]
        self._together = make_url(url).get_driver_name() == "psycopg2"
        self.engine = _engine(url, name)
        self._locked = select(State.c.version, State.c.next_token).where(State.c.id == 1).with_for_update()

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Waits for the turn; commits at its end, rolls back on an error."""
        with self.engine.begin() as connection:
            row = connection.execute(self._locked).one_or_none()
            if row is None:  # a new database
                first = self._insert(State).values(id=1, version=0, next_token=1).on_conflict_do_nothing()
                connection.execute(first)
                row = connection.execute(self._locked).one()
            yield Turn(connection, row.version, row.next_token)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Without waiting for a turn."""
        with self.engine.connect().execution_options(reading=True) as connection:
            yield connection

    def version(self) -> int:
        with self.reading() as connection:
            return connection.scalar(select(State.c.version)) or 0

    def fill(self, turn: Turn, pool: Pool) -> None:
        """Everything that lives, in place of what the pool holds."""
        connection = turn.connection
        pool.restore(
            nodes=[rows.node(row) for row in _all(connection, NODE)],
            requests=[rows.request(row) for row in _all(connection, REQUEST, RequestState.ENDED)],
            leases=[rows.lease(row) for row in _all(connection, LEASE, LeaseState.ENDED)],
            quotas=[rows.quota(row) for row in _all(connection, QUOTA)],
            accounts=[Account(**row) for row in _all(connection, ACCOUNT)],
            next_token=turn.next_token,
        )

    def write(self, turn: Turn, pool: Pool, changes: Changes) -> int:
        """Keeps what has changed. Returns the new version."""
        connection, version = turn.connection, turn.version + 1
        _forget(connection, NODE, changes.gone_nodes)
        _forget(connection, QUOTA, changes.gone_quotas)
        _forget(connection, ACCOUNT, changes.gone_accounts)
        touched = [
            (NODE, list(map(rows.node_row, changes.nodes.values()))),
            (REQUEST, list(map(rows.request_row, changes.requests.values()))),
            (LEASE, list(map(rows.lease_row, changes.leases.values()))),
            (QUOTA, list(map(rows.quota_row, changes.quotas.values()))),
            (ACCOUNT, [asdict(account) for account in changes.accounts.values()]),
        ]
        happened = list(map(rows.event_row, changes.events))
        if self._together:
            last = f"UPDATE {State.name} SET version = {version:d}, next_token = {pool.next_token:d}"
            at_once.put(connection, [*touched, (EVENT, happened)], last)
            self._keep_uses(connection, pool, changes)
            return version
        for table, found in touched:
            self.put(connection, table, found)
        if happened:
            connection.execute(EVENT.insert(), happened)
        connection.execute(update(State).values(version=version, next_token=pool.next_token))
        self._keep_uses(connection, pool, changes)
        return version

    def _keep_uses(self, connection: Connection, pool: Pool, changes: Changes) -> None:
        """What leases take that began or ended. Of one that is kept already its end alone is added: its node may be gone by then, or have
        other rates."""
        over: dict[float, list[str]] = {}
        for lease in changes.leases.values():
            if lease.ended_at is not None:
                over.setdefault(lease.ended_at, []).append(lease.id)
        kept = set[str]()
        for at, ids in over.items():
            for first in range(0, len(ids), AT_ONCE):
                of = USE.c.lease_id.in_(ids[first : first + AT_ONCE])
                kept |= set(connection.scalars(select(USE.c.lease_id).where(of)))
                connection.execute(update(USE).where(of, USE.c.ended_at.is_(None)).values(ended_at=at))
        found: list[rows.Row] = []
        for lease in changes.leases.values():
            request = pool.requests.get(lease.request_id) or changes.requests.get(lease.request_id)
            new = lease.id not in kept if lease.ended_at is not None else lease.seen_at == lease.granted_at
            if request is not None and new:
                found += [rows.use_row(use) for use in uses(lease, request, pool.nodes, self._is_spot)]
        self.put(connection, USE, found, replace=False)

    def put(self, connection: Connection, table: Table, values: Iterable[Mapping[str, Any]], replace: bool = True) -> None:
        """Inserts rows; one that is there is replaced, or left."""
        found = list(values)
        if not found:
            return
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key]
        others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
        kept = statement.on_conflict_do_update(index_elements=keys, set_=others) if replace else statement.on_conflict_do_nothing()
        connection.execute(kept, found)


def _table(model: type[models.Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


State, NODE, REQUEST, LEASE = _table(models.State), _table(models.Node), _table(models.Request), _table(models.Lease)
QUOTA, EVENT, SAMPLE, AGENT = _table(models.Quota), _table(models.Event), _table(models.Sample), _table(models.Agent)
ACCOUNT, USE = _table(models.Account), _table(models.Use)


def _all(connection: Connection, table: Table, without: str | None = None) -> Sequence[Mapping[str, Any]]:
    query = select(table)
    if without is not None:
        query = query.where(table.c.state != without)
    return [dict(row) for row in connection.execute(query).mappings()]


def _forget(connection: Connection, table: Table, names: Iterable[str]) -> None:
    for name in names:
        connection.execute(delete(table).where(next(iter(table.primary_key)) == name))


def _engine(url: str, name: str) -> Engine:
    tight = {"json_serializer": lambda value: json.dumps(value, separators=(",", ":"))}
    if name == "postgresql":
        options = f"-c lock_timeout={int(BUSY_S * 1000)} -c idle_in_transaction_session_timeout={int(BUSY_S * 1000)}"
        together = {"executemany_mode": "values_plus_batch"} if "psycopg2" in make_url(url).get_driver_name() else {}  # one way, many rows
        return create_engine(url, pool_size=2, max_overflow=8, connect_args={"options": options}, **together, **tight)
    arguments = {"timeout": BUSY_S, "check_same_thread": False}
    engine = create_engine(url, poolclass=QueuePool, pool_size=2, max_overflow=8, connect_args=arguments, **tight)

    @event.listens_for(engine, "connect")
    def leave_begin_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # Python's sqlite3 would begin by itself, and as a reader

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")

    return engine
