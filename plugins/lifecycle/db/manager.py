"""Lets `airflow db migrate` keep the plugin's tables: named in ``[database] external_db_managers``."""

from __future__ import annotations

from pathlib import Path

from db_shared.manager import PluginDBManager
from lifecycle.db.models import Base

FOLDER = Path(__file__).parent


class LifecycleDBManager(PluginDBManager):
    """Migrations of the lifecycle's tables."""

    metadata = Base.metadata
    version_table_name = "alembic_version_updraft_lifecycle"
    migration_dir = (FOLDER / "migrations").as_posix()
    alembic_file = (FOLDER / "alembic.ini").as_posix()
