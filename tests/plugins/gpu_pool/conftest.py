"""Databases of their own for each test: SQLite files, and databases of one real PostgreSQL that the session shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from bench.leases.postgres import postgres
from gpu_pool.broker import Broker
from gpu_pool.db.models import Base
from gpu_pool.db.store import Store
from include.pool.pool import Pool
from include.pool.state import Config

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with postgres(durable=False) as url:  # processes are killed here, not the machine
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Makes an empty database of either kind; its URL."""
    return lambda: empty(request, request.param, tmp_path)


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    """The URL of a database with the pool's tables."""
    url = new_database()
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def start() -> Iterator[Callable[..., Broker]]:
    """Starts a broker on a database; all are stopped in the end."""
    brokers = []

    def start(url: str, **config: float) -> Broker:
        broker = Broker(Store(url), lambda: Pool(Config(**config)))
        broker.start()
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        broker.stop()


def empty(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    name = f"t{uuid4().hex}"
    if kind == "sqlite":
        return f"sqlite:///{folder / name}.db"
    url = make_url(request.getfixturevalue("postgresql"))
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
