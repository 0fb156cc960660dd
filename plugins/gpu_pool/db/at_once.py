"""Rows of several tables written in one message to PostgreSQL, by psycopg2.

Each message to the server and back lets two processes wait for each other; on a busy machine that, and not the writing, is what a batch
takes. So all of a batch's rows go together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Table

Rows = Sequence[Mapping[str, Any]]


def put(connection: Connection, writes: Sequence[tuple[Table, Rows]], last: str = "") -> None:
    """Inserts rows, replacing those of the same key; tables that number their rows by themselves only grow. ``last`` is SQL to end with."""
    parts: list[str] = []
    raw: Any = connection.connection
    with raw.cursor() as cursor:
        for table, rows in writes:
            if rows:
                begin, one, end = _template(table)
                columns, texts = _columns(table)
                values = (cursor.mogrify(one, [_plain(row[name], name in texts) for name in columns]).decode() for row in rows)
                parts.append(begin + ",".join(values) + end)
    parts += [last] if last else []
    connection.exec_driver_sql(";".join(parts), execution_options={"no_parameters": True})


@cache
def _columns(table: Table) -> tuple[tuple[str, ...], frozenset[str]]:
    """Those that are written, and those of them that hold JSON."""
    own = table.autoincrement_column
    written = tuple(column.name for column in table.columns if column is not own)
    return written, frozenset(column.name for column in table.columns if isinstance(column.type, JSON))


@cache
def _template(table: Table) -> tuple[str, str, str]:
    """What comes before the values, one row of values, and what comes after them."""
    columns, _ = _columns(table)
    keys = [column.name for column in table.primary_key if column.name in columns]
    others = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in columns if name not in keys)
    names = ", ".join(f'"{name}"' for name in columns)
    end = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}" if keys else ""
    return f"INSERT INTO {table.name} ({names}) VALUES ", f"({', '.join(['%s'] * len(columns))})", end


def _plain(value: Any, is_json: bool) -> Any:
    return json.dumps(value, separators=(",", ":")) if is_json and value is not None else value
