"""Whether anything has been written to Airflow's database, asked for a hundredth of what it costs to look for work there."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

WRITTEN = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"}
"""What changes with every write of others, by the name of the database's dialect."""


class Writes:
    """A connection of its own, on which nothing else is asked than what a reader of :meth:`changed` asks by :meth:`ask`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._question = WRITTEN.get(engine.dialect.name, "")
        self._connection: Connection | None = None
        self._seen: object = None

    @property
    def known(self) -> bool:
        """Whether this database can say it. Of another, :meth:`changed` is always true."""
        return bool(self._question)

    def changed(self) -> bool:
        """Whether others have written since this was asked last, or it can't be said. The first time it is true."""
        if not self._question:
            return True
        try:
            seen = self._open().execute(text(self._question)).scalar()
        except SQLAlchemyError:  # it is away: whoever looks for work says so
            self._drop()
            return True
        before, self._seen = self._seen, seen
        return seen != before

    def ask(self, question: str) -> bool:
        """The answer to an SQL question of yes (1) or no; yes where there is no answer."""
        try:
            return bool(self._open().execute(text(question)).scalar())
        except SQLAlchemyError:
            self._drop()
            return True

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection, self._seen = self._connection, None, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()
