"""Rows as Parquet and back. Pure: bytes in, bytes out. A row is a dict: ``id``, ``time`` (s since the epoch), ``model``, ``version`` (0: no
revision answered), ``key``, ``kind``, ``latency_ms``, ``status``, and ``inputs`` and ``outputs``, values by name."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from include.data.whole import frame_of
from include.predictions.store import Segment

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Row = Mapping[str, Any]
COLUMNS = ("id", "time", "version", "key", "kind", "latency_ms", "status")
"""Of every frame, before those of inputs and outputs."""
TRACE = "trace_id"
"""Of a frame with requests that were traced."""
PARTS = ("inputs", "outputs")
_AS_JSON = {b"updraft": b"json"}
"""Marks a column whose values are JSON texts."""
MOST_NAMES = 4096
"""Columns of inputs, and of outputs, in one file; those that came later are left out: callers of a server of anybody's invent names."""
_EXACT = 2**53
"""Integers up to this are floats too."""
_LONG = 2**63


def hour_of(time_s: float) -> datetime:
    """Return the beginning of the hour (UTC) of a time in seconds since the epoch."""
    return datetime.fromtimestamp(time_s, UTC).replace(minute=0, second=0, microsecond=0)


def partitioned(rows: Iterable[Row], stem: str) -> dict[Segment, list[Row]]:
    """Return rows by the segment that they belong to: model, version and hour, each in a file named ``stem``."""
    found: dict[Segment, list[Row]] = defaultdict(list)
    for row in rows:
        found[Segment(hour_of(row["time"]), row["model"], int(row["version"]), stem)].append(row)
    return found


def to_parquet(rows: Sequence[Row]) -> bytes:
    """Return a Parquet file (zstd) of these rows. A column has the one type of its values; where they have several, they are JSON texts."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(_table(rows), out, compression="zstd")
    return out.getvalue()


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as :func:`from_parquet` returns those of a file."""
    return _frame(_table(rows))


def from_parquet(data: bytes, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a file's rows: :data:`COLUMNS`, ``time`` as UTC, then ``inputs.<name>`` and ``outputs.<name>``. Raises ValueError (pyarrow's
    ArrowInvalid) for bytes that are no whole Parquet file."""
    import pyarrow.parquet as pq

    return _frame(pq.read_table(io.BytesIO(data), columns=columns))


def empty() -> pd.DataFrame:
    """Return a frame without rows."""
    return to_frame([])


def _table(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    kinds = {"time": pa.timestamp("us", tz="UTC"), "version": pa.int32(), "latency_ms": pa.float64(), "status": pa.int32()}
    values = {name: [row[name] for row in rows] for name in COLUMNS}
    if any(TRACE in row for row in rows):
        values[TRACE] = [row.get(TRACE) for row in rows]
    values["time"] = [round(time * 1e6) for time in values["time"]]
    fields, arrays = [], []
    for name, column in values.items():
        fields.append(pa.field(name, kinds.get(name, pa.string())))
        arrays.append(pa.array(column, fields[-1].type))
    for part in PARTS:
        for name in islice(dict.fromkeys(name for row in rows for name in row[part]), MOST_NAMES):
            array, metadata = _column([row[part].get(name) for row in rows])
            fields.append(pa.field(f"{part}.{name}", array.type, metadata=metadata))
            arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _column(values: list[Any]) -> tuple[pa.Array, Mapping[bytes, bytes] | None]:
    import pyarrow as pa

    kind = _kind([value for value in values if value is not None])
    if kind == "json":
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string()), _AS_JSON
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "none": pa.null()}
    wanted = types[kind.removeprefix("list ")]
    return pa.array(values, pa.list_(wanted) if kind.startswith("list ") else wanted), None


def _kind(values: Sequence[Any]) -> str:
    """Return what all values are: a scalar's kind, ``list`` of one, or ``json`` for anything else."""
    if values and all(isinstance(value, list) for value in values):
        inner = _kind([part for value in values for part in value])
        return f"list {inner}" if inner in ("bool", "int", "float", "str") else "json"
    kinds = {type(value).__name__ for value in values}
    if kinds == {"int"} and not all(-_LONG <= value < _LONG for value in values):
        return "json"
    if len(kinds) == 1 and kinds <= {"bool", "int", "float", "str"}:
        return kinds.pop()
    if kinds == {"int", "float"}:
        return "float" if all(isinstance(value, float) or abs(value) <= _EXACT for value in values) else "json"
    return "json" if kinds else "none"


def _frame(table: pa.Table) -> pd.DataFrame:
    frame = frame_of(table, always=True)
    for field in table.schema:
        if (field.metadata or {}).get(b"updraft") == b"json":
            frame[field.name] = [None if text is None else json.loads(text) for text in frame[field.name]]
        elif str(field.type).startswith("list"):
            frame[field.name] = [None if value is None else value.tolist() for value in frame[field.name]]
    return frame
