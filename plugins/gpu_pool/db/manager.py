"""Lets `airflow db migrate` keep the plugin's tables: named in ``[database] external_db_managers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.utils.db_manager import BaseDBManager
from sqlalchemy import inspect

from gpu_pool.db.models import Base

FOLDER = Path(__file__).parent


class GpuPoolDBManager(BaseDBManager):
    """Migrations of the GPU pool's tables, with a version table of their own."""

    metadata = Base.metadata
    version_table_name = "alembic_version_updraft_gpu_pool"
    migration_dir = (FOLDER / "migrations").as_posix()
    alembic_file = (FOLDER / "alembic.ini").as_posix()
    supports_table_dropping = True

    def drop_tables(self, connection: Any) -> None:
        inspector = inspect(connection)
        for table in reversed(self.metadata.sorted_tables):
            if inspector.has_table(table.name):
                table.drop(connection)
        version = self._get_migration_ctx()._version
        if inspector.has_table(version.name):
            version.drop(connection)
