"""Alembic's entry."""

from db_shared.migrate import run
from gpu_pool.db.manager import GpuPoolDBManager

run(GpuPoolDBManager)
