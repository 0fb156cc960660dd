"""Step `extract`: the model's source as one table file in the step's folder (runtime `trainer`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data import table
from include.data.columns import feature_columns
from include.errors import InputError
from include.kinds.table.table import wide_features
from include.spec.files import is_entry
from include.spec.names import DATA_SOURCE
from include.spec.schema import ModelSpec
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    import pandas as pd


def run(ctx: StepContext) -> dict[str, Any]:
    """``{"table": path, "rows": n, "columns": {name: type}, "notes": [sentence]}``. Raises ``InputError`` for every fault of the source.

    A file is copied byte for byte. What a function returns is written as Parquet, the same bytes for the same data.
    """
    spec = ctx.spec(ModelSpec)
    other = ctx.params.get(DATA_SOURCE)
    source = other or spec.data.source
    notes: list[str] = []
    if other is None and is_entry(source):
        frame = _call(ctx.folder, source)
        table.check(frame, spec)
        path = write(frame, ctx.out / "table.parquet")
    else:
        original = ctx.folder / source  # an absolute source stays absolute
        raw = table.content(original)  # read once: what is checked is what is kept
        frame, notes = table.parse(original, raw, spec.data.csv)
        table.check(frame, spec)
        path = _kept(raw, ctx.out / f"table{original.suffix}")
    print(f"{source}: {len(frame)} rows, {len(frame.columns)} columns", flush=True)
    notes += [*table.remarks(frame, spec), *_served_types(frame, spec)]
    print("\n".join(notes), flush=True)
    columns = {name: str(kind) for name, kind in frame.dtypes.items()}
    return {"table": str(path), "rows": len(frame), "columns": columns, "notes": notes}


def _served_types(frame: pd.DataFrame, spec: ModelSpec) -> list[str]:
    """What of the features can't be served as 32-bit floats, or holds nothing at all."""
    columns = feature_columns(spec.data, list(frame.columns))
    wide = wide_features(frame, columns)
    empty = [name for name in columns if frame[name].isna().all()]
    return [
        *([f"More than 32-bit floats are needed for {', '.join(sorted(wide))}: served as INT64 or FP64."] if wide else []),
        *(f"column {name!r}: no row has a value." for name in empty),
    ]


def write(frame: pd.DataFrame, path: Path) -> Path:
    """``frame`` as Parquet, without its index and without anything that differs between two writes of the same data."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # pandas' own metadata holds its version, and nothing a reader here needs.
        content = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"the data can't be written as a table: {error}.", where="data.source", remedy="Return plain columns.") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(content, part, compression="zstd")
    os.replace(part, path)
    return path


def _kept(raw: bytes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(raw)
    os.replace(part, path)
    return path


def _call(folder: Path, entry: str) -> pd.DataFrame:
    import pandas as pd

    with importable(folder):
        function = load_entry(folder, entry)
        with explained(folder, f"{entry.partition(':')[2]}()"):
            frame = function()
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"returned {type(frame).__name__}, not a DataFrame.", where=f"data.source {entry}", remedy="Return a pandas DataFrame."
        )
    return frame
