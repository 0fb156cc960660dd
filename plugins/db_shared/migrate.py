"""Runs a plugin's migrations on Airflow's own engine; Alembic's ``env.py`` of each plugin calls it."""

from __future__ import annotations

from typing import Any

from airflow import settings
from alembic import context

from db_shared.manager import PluginDBManager


def run(manager: type[PluginDBManager]) -> None:
    tables = manager.metadata.tables

    def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        """Keep autogenerate away from Airflow's tables."""
        return kind != "table" or name in tables

    common: dict[str, Any] = {
        "target_metadata": manager.metadata,
        "version_table": manager.version_table_name,
        "include_object": ours,
        "render_as_batch": True,
    }
    if context.is_offline_mode():
        context.configure(url=settings.SQL_ALCHEMY_CONN, literal_binds=True, **common)
        with context.begin_transaction():
            context.run_migrations()
        return
    assert settings.engine is not None
    with settings.engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True, **common)
        with context.begin_transaction():
            context.run_migrations()
