"""Verdicts and looks are append-only and chained by hashes.

Revision ID: 0003
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

from include.evidence.chain import BEGIN, seal
from lifecycle.db.append_only import allow_changes, forbid_changes

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = "before the chain"
"""Author of what was kept before: who that was is not known."""
TABLES = ("updraft_verdict", "updraft_look")


def upgrade() -> None:
    op.create_table(
        "updraft_chain",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table("updraft_verdict_chained", *_verdict_columns(), *_chain_columns())
    op.create_table("updraft_look_chained", *_look_columns(), *_chain_columns())
    if op.get_context().as_sql:
        raise RuntimeError("The hashes of what is there are computed from it: run `airflow db migrate` against the database itself.")
    number, digest = _seal_all()
    op.execute(sa.text("INSERT INTO updraft_chain (name, number, hash) VALUES ('evidence', :n, :h)").bindparams(n=number, h=digest))
    for table in TABLES:
        op.drop_table(table)
        op.rename_table(f"{table}_chained", table)
    op.create_index("ix_updraft_verdict_run", "updraft_verdict", ["run_key", "kind"])
    op.create_index("ix_updraft_verdict_model", "updraft_verdict", ["model"])
    op.create_index("ix_updraft_verdict_at", "updraft_verdict", ["at"])
    op.create_index("ix_updraft_look_run", "updraft_look", ["run_key", "number"], unique=True)
    for table in TABLES:
        forbid_changes(table)


def downgrade() -> None:
    """The latest verdict of each kind and all looks stay; the chain goes."""
    for table in TABLES:
        allow_changes(table)
    op.create_table("updraft_verdict_plain", *_verdict_columns(plain=True))
    op.create_table("updraft_look_plain", *_look_columns(plain=True))
    op.execute(
        "INSERT INTO updraft_verdict_plain (run_key, kind, model, version, decision, body, at) "
        "SELECT run_key, kind, model, version, decision, body, at FROM updraft_verdict v WHERE v.entry = "
        "(SELECT MAX(w.entry) FROM updraft_verdict w WHERE w.run_key = v.run_key AND w.kind = v.kind)"
    )
    op.execute("INSERT INTO updraft_look_plain (run_key, number, body, at) SELECT run_key, number, body, at FROM updraft_look")
    for table in TABLES:
        op.drop_table(table)
        op.rename_table(f"{table}_plain", table)
    op.create_index("ix_updraft_verdict_model", "updraft_verdict", ["model"])
    op.create_index("ix_updraft_verdict_at", "updraft_verdict", ["at"])
    op.drop_table("updraft_chain")


def _verdict_columns(plain: bool = False) -> list[Any]:
    return [
        sa.Column("run_key", sa.String(320), primary_key=plain, nullable=False),
        sa.Column("kind", sa.String(32), primary_key=plain, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    ]


def _look_columns(plain: bool = False) -> list[Any]:
    return [
        sa.Column("run_key", sa.String(320), primary_key=plain, nullable=False),
        sa.Column("number", sa.Integer, primary_key=plain, autoincrement=False, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    ]


def _chain_columns() -> list[Any]:
    return [
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    ]


def _seal_all() -> tuple[int, str]:
    """Chain what is there by its time; looks before the verdict that they led to. The last entry's number and hash."""
    connection, number, digest = op.get_bind(), 0, BEGIN
    new = {
        "verdict": sa.table("updraft_verdict_chained", *(sa.column(c.name, c.type) for c in (*_verdict_columns(), *_chain_columns()))),
        "look": sa.table("updraft_look_chained", *(sa.column(c.name, c.type) for c in (*_look_columns(), *_chain_columns()))),
    }
    for kind, row in _in_time(connection):
        number += 1
        at: datetime = row.pop("at")
        hashed = seal(number, kind, row, BEFORE, at if at.tzinfo else at.replace(tzinfo=UTC), digest)
        chained = {"entry": number, "author": BEFORE, "previous": digest, "hash": hashed}
        connection.execute(new[kind].insert().values(**row, at=at, **chained))
        digest = hashed
    return number, digest


def _in_time(connection: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    verdicts = sa.table("updraft_verdict", *(sa.column(c.name, c.type) for c in _verdict_columns()))
    looks = sa.table("updraft_look", *(sa.column(c.name, c.type) for c in _look_columns()))
    order = [(at, 1, ("verdict", run_key, kind)) for run_key, kind, at in connection.execute(_keys(verdicts, "kind"))]
    order += [(at, 0, ("look", run_key, number)) for run_key, number, at in connection.execute(_keys(looks, "number"))]
    for _, _, (kind, run_key, key) in sorted(order):
        table, name = (verdicts, "kind") if kind == "verdict" else (looks, "number")
        found = connection.execute(sa.select(table).where(table.c.run_key == run_key, table.c[name] == key)).mappings().one()
        yield kind, dict(found)


def _keys(table: Any, name: str) -> Any:
    return sa.select(table.c.run_key, table.c[name], table.c.at)
