"""What people have labelled of a model, as a file: a row for each row that they were asked about, with who and when.

``<home>/labels/<model>/rows.parquet``, replaced whole; the same labels make the same bytes. Rows, labels and what each person said are
JSON, so that a column holds any type.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import atomic
from include.labels.export import Labelled

if TYPE_CHECKING:
    import pandas as pd

FILE, ROUNDS = "rows.parquet", "rounds"
COLUMNS = ("key", "project", "task", "arm", "row", "label", "who", "at", "given", "answer", "request")


def table(rows: Sequence[Labelled], project: int) -> pd.DataFrame:
    """Return labelled rows as they are kept, by their keys."""
    import pandas as pd

    found = [
        {
            "key": one.key,
            "project": project,
            "task": one.task,
            "arm": one.arm,
            "row": _json(one.row),
            "label": None if one.label is None else _json(one.label),
            "who": _json(one.who),
            "at": one.at.isoformat(),
            "given": _json([{"who": by.who, "at": by.at.isoformat(), "label": by.label} for by in one.given]),
            "answer": None if one.answer is None else _json(one.answer),
            "request": one.request,
        }
        for one in rows
    ]
    return pd.DataFrame(found, columns=list(COLUMNS)).sort_values("key", ignore_index=True)


def merged(before: pd.DataFrame, now: pd.DataFrame, project: int) -> pd.DataFrame:
    """Return what is kept after an export of a ``project``: all of it, and of other projects (one that was deleted, say) what it has not.
    A label that was taken back in the same project is gone."""
    import pandas as pd

    others = before[(before["project"] != project) & ~before["key"].isin(now["key"])]
    return pd.concat([part for part in (others, now) if len(part)] or [now]).sort_values("key", ignore_index=True)


def changed(before: pd.DataFrame, now: pd.DataFrame) -> int:
    """Return how many rows have a label that they had not before."""
    known = dict(zip(before["key"], before["label"], strict=True))
    return sum(label is not None and known.get(key) != label for key, label in zip(now["key"], now["label"], strict=True))


def read(path: Path) -> pd.DataFrame:
    """Return what is kept; an empty table where there is nothing yet."""
    import pandas as pd

    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.read_parquet(path)
    return frame.where(frame.notna(), None)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Keep a table, whole or not at all."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [pa.field(name, pa.int64() if name in ("project", "task") else pa.string()) for name in COLUMNS]
    content = pa.Table.from_pandas(frame[list(COLUMNS)], schema=pa.schema(texts), preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(content, buffer, compression="zstd")
    atomic.write(path, buffer.getvalue())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
