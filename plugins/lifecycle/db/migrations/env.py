"""Alembic's entry."""

from db_shared.migrate import run
from lifecycle.db.manager import LifecycleDBManager

run(LifecycleDBManager)
