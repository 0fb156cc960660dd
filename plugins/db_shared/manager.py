"""Base of the plugins' database managers, which `airflow db migrate` runs: named in ``[database] external_db_managers``."""

from __future__ import annotations

from typing import Any

from airflow.utils.db_manager import BaseDBManager
from sqlalchemy import inspect


class PluginDBManager(BaseDBManager):
    """A plugin's tables, with a version table of their own."""

    supports_table_dropping = True

    def drop_tables(self, connection: Any) -> None:
        inspector = inspect(connection)
        for table in reversed(self.metadata.sorted_tables):
            if inspector.has_table(table.name):
                table.drop(connection)
        version = self._get_migration_ctx()._version
        if inspector.has_table(version.name):
            version.drop(connection)
