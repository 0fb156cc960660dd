"""The databases that models' queries are asked of: connections of Airflow's whose names begin with ``updraft_data_``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk.exceptions import AirflowException

from include.errors import InputError
from lifecycle.targets import connection_of

if TYPE_CHECKING:
    from sqlalchemy import Engine


def database(name: str) -> Engine:
    """Return an engine for the connection, by the hook of its type's provider. InputError when there is no such connection, its provider is
    not installed, or it is no database's."""
    where = f"connection {name}"
    connection = connection_of(name)
    if connection is None:
        raise InputError("does not exist.", where=where, remedy="An admin adds it: Admin, Connections. docs/howto.md says how.")
    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError) as error:
        remedy = "Add the provider of that type to requirements.txt, then `make lock` and `make install`."
        raise InputError(f"its type {connection.conn_type!r} can't be used: {error}.", where=where, remedy=remedy) from None
    if not isinstance(hook, DbApiHook):
        raise InputError(f"its type {connection.conn_type!r} is no database that is asked by SQL.", where=where, remedy="Name another.")
    engine: Engine = hook.get_sqlalchemy_engine({"hide_parameters": True})
    return engine
