"""What was under way when a backup was made doesn't go on after a restore: its steps' files, its place in the gateway's log and its leases
are gone. Said in the tables, so that nothing waits for it and a person sees why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table, and_, delete, inspect, or_, select, update

from include.registry.mlflow import CHALLENGER

if TYPE_CHECKING:
    from sqlalchemy import Connection

UNFINISHED_RUNS = ("queued", "running")
UNFINISHED_TASKS = ("scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred", "awaiting_input")
DESIRED = "updraft_desired"
LIVE_REVISIONS = ("STARTING", "RUNNING", "STANDBY", "STOPPING", "PREEMPTED")
WHY = "It ran when the backup was made from which the platform was restored."


def end(connection: Connection, champions: Mapping[str, int], now: datetime) -> int:
    """Fail the DAG runs that are under way, and stop all revisions but the champions', in Airflow's tables. Return how many runs."""
    tables = MetaData()
    tables.reflect(connection, only=["dag_run", "task_instance", "trigger", "updraft_revision"])
    runs, tasks, triggers, revisions = (tables.tables[name] for name in ("dag_run", "task_instance", "trigger", "updraft_revision"))
    ended = connection.execute(update(runs).where(runs.c.state.in_(UNFINISHED_RUNS)).values(state="failed", end_date=now)).rowcount
    free = {"trigger_id": None} if "trigger_id" in tasks.c else {}
    connection.execute(update(tasks).where(tasks.c.state.in_(UNFINISHED_TASKS)).values(state="failed", end_date=now, **free))
    used = [select(table.c.trigger_id).where(table.c.trigger_id.is_not(None)) for table in _referring(connection)]
    connection.execute(delete(triggers).where(and_(True, *(triggers.c.id.not_in(query) for query in used))))
    serves = or_(False, *(and_(revisions.c.model == model, revisions.c.version == version) for model, version in champions.items()))
    others = and_(revisions.c.state.in_(LIVE_REVISIONS), ~serves)
    connection.execute(update(revisions).where(others).values(state="STOPPED", message=WHY, updated_at=now))
    if inspect(connection).has_table(DESIRED):  # a release of before had none
        tables.reflect(connection, only=[DESIRED])
        wanted = tables.tables[DESIRED]
        kept = or_(False, *(and_(wanted.c.model == model, wanted.c.version == version) for model, version in champions.items()))
        connection.execute(delete(wanted).where(~kept))  # the reconciler would deploy what nobody ends any more
    return int(ended)


def end_trials(connection: Connection) -> None:
    """Take the challengers off in MLflow's tables: their trials don't go on, and would bar every change of production."""
    tables = MetaData()
    tables.reflect(connection, only=["registered_model_aliases"])
    aliases = tables.tables["registered_model_aliases"]
    connection.execute(delete(aliases).where(aliases.c.alias == CHALLENGER))


def _referring(connection: Connection) -> list[Table]:
    """Tables whose rows name triggers (of assets that are watched)."""
    tables = MetaData()
    inspector = inspect(connection)
    names = [
        name for name in inspector.get_table_names() if any(key["referred_table"] == "trigger" for key in inspector.get_foreign_keys(name))
    ]
    tables.reflect(connection, only=names)
    return [tables.tables[name] for name in names if "trigger_id" in tables.tables[name].c]
