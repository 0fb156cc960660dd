"""Alembic's entry: runs the GPU pool's migrations on Airflow's own engine."""

from __future__ import annotations

from typing import Any

from airflow import settings
from alembic import context

from gpu_pool.db.manager import GpuPoolDBManager

METADATA = GpuPoolDBManager.metadata
VERSION_TABLE = GpuPoolDBManager.version_table_name


def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
    """Keep autogenerate away from Airflow's tables."""
    return kind != "table" or name in METADATA.tables


def run() -> None:
    common: dict[str, Any] = {"target_metadata": METADATA, "version_table": VERSION_TABLE, "include_object": ours, "render_as_batch": True}
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


run()
