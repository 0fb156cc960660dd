"""The platform's databases, of either scale: dumped while they are used, loaded into an empty home, asked by SQL."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from include.backup import sqlite
from include.errors import ComponentError, InputError
from include.platform import postgres, scale
from include.platform.schemas import PREFIX
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

DUMP_S = 3600.0


class Databases(Protocol):
    """``airflow``, ``mlflow`` and ``mlflow_auth`` of one platform."""

    def dump(self, work: Path) -> dict[str, Path]:
        """Write a consistent copy of each into ``work``; return them by name, in the order in which they were taken: what refers before
        what it refers to."""

    def load(self, folder: Path) -> None:
        """Make the databases out of what :meth:`dump` wrote. They are not there yet."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let them be asked while the platform is down."""
        yield


def databases(settings: Settings) -> Databases:
    """Return the databases of the platform in ``settings.home``, whose credentials are there."""
    return KINDS[scale.chosen(settings)](settings)


@contextmanager
def engine(settings: Settings, name: str) -> Iterator[Engine]:
    """Ask one by SQL."""
    from sqlalchemy import create_engine

    url = asdict(scale.databases(settings, Credentials.load(settings.home)))[name]
    made = create_engine(url)
    try:
        yield made
    finally:
        made.dispose()


def schemas(settings: Settings) -> dict[str, dict[str, str]]:
    """Return how far each database's migrations are: table of versions → version."""
    from sqlalchemy import inspect, text

    found: dict[str, dict[str, str]] = {}
    for name in ORDER:
        with engine(settings, name) as opened, opened.connect() as connection:
            tables = [table for table in inspect(opened).get_table_names() if table.startswith(PREFIX)]
            found[name] = {table: str(connection.execute(text(f'select version_num from "{table}"')).scalar()) for table in sorted(tables)}
    return found


ORDER = ("airflow", "mlflow", "mlflow_auth")


class Sqlite:
    """Files below the home."""

    def __init__(self, settings: Settings) -> None:
        self._files = scale.sqlite_files(settings)

    def dump(self, work: Path) -> dict[str, Path]:
        found = {}
        for name in ORDER:
            found[name] = work / f"{name}.sqlite"
            sqlite.copy(self._files[name], found[name])
        return found

    def load(self, folder: Path) -> None:
        for name in ORDER:
            source = folder / f"{name}.sqlite"
            sqlite.check(source, f"databases/{source.name}")
            self._files[name].parent.mkdir(parents=True, exist_ok=True)
            source.rename(self._files[name])

    @contextmanager
    def opened(self) -> Iterator[None]:
        yield


class Postgres:
    """Databases of the platform's own PostgreSQL, by pg_dump and pg_restore."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._credentials = settings, Credentials.load(settings.home)
        self._data = scale.postgres_data(settings)

    def dump(self, work: Path) -> dict[str, Path]:
        found = {}
        for name in ORDER:
            found[name] = work / f"{name}.pgdump"
            self._call("pg_dump", name, "--format=custom", "--no-owner", "--no-privileges", f"--file={found[name]}", name)
        return found

    def load(self, folder: Path) -> None:
        passwords, host = self._credentials.database_passwords, scale.postgres_host(self._settings)
        postgres.initialise(postgres.binaries(self._data), self._data, "postgres", passwords["postgres"])
        postgres.make_socket_folder(Path(host))
        with self.opened():
            postgres.provide(host, self._settings.postgres_port, "postgres", passwords, scale.OWNERS)
            for name in ORDER:
                self._call("pg_restore", name, "--exit-on-error", "--no-owner", f"--dbname={name}", str(folder / f"{name}.pgdump"))

    @contextmanager
    def opened(self) -> Iterator[None]:
        host, port = scale.postgres_host(self._settings), self._settings.postgres_port
        log = self._settings.logs / "postgres.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = postgres.as_program(postgres.command(postgres.binaries(self._data), self._data, host, port))
        with log.open("ab") as output:
            process = subprocess.Popen(command, cwd="/", stdout=output, stderr=output, start_new_session=True)
        try:
            postgres.provide(host, port, "postgres", self._credentials.database_passwords, {})
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()

    def _call(self, tool: str, database: str, *arguments: str) -> None:
        role = scale.OWNERS[database]
        binary = postgres.binaries(self._data) / tool
        if not binary.exists():
            raise InputError(f"there is no {tool}.", where=str(binary), remedy=postgres.APT)
        where: Mapping[str, Any] = {"PGHOST": scale.postgres_host(self._settings), "PGPORT": str(self._settings.postgres_port)}
        environment = {**where, "PGUSER": role, "PGPASSWORD": self._credentials.database_passwords[role], "PATH": os.defpath}
        done = subprocess.run([str(binary), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=DUMP_S)
        if done.returncode:
            remedy = "Does PostgreSQL run (`make status`)? Is the disk full?"
            raise ComponentError(f"{tool} failed: {done.stderr.strip()[-500:]}", where=f"database {database}", remedy=remedy)


KINDS: Mapping[scale.Scale, type[Sqlite] | type[Postgres]] = {scale.Scale.EMBEDDED: Sqlite, scale.Scale.SCALED: Postgres}
