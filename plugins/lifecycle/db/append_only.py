"""Makes the database itself refuse UPDATE and DELETE of a table (SQLite and PostgreSQL; elsewhere the chain alone shows them)."""

from __future__ import annotations

from alembic import op

MESSAGE = "is append-only"


def forbid_changes(table: str) -> None:
    """Refuse every UPDATE and DELETE of the table from now on."""
    dialect = op.get_context().dialect.name
    if dialect == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, '{table} {MESSAGE}'); END"
            )
    elif dialect == "postgresql":
        op.execute(
            f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} {MESSAGE}'; END $$ LANGUAGE plpgsql"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
        )


def allow_changes(table: str) -> None:
    """Undo :func:`forbid_changes`. Absent is fine."""
    dialect = op.get_context().dialect.name
    if dialect == "sqlite":
        for act in ("update", "delete"):
            op.execute(f"DROP TRIGGER IF EXISTS {table}_no_{act}")
    elif dialect == "postgresql":
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_change ON {table}")
        op.execute(f"DROP FUNCTION IF EXISTS {table}_append_only()")
