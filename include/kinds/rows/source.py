"""Where rows come from: a function of the model's, a file or a query; and how they are kept, the same bytes for the same data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import InputError
from include.steps.context import StepContext
from include.steps.user_code import explained, importable, load_entry

if TYPE_CHECKING:
    import pandas as pd


def rows_file(ctx: StepContext, source: str) -> Path:
    """Return the file of rows that ``source`` is, or what its query has returned (input ``queried``). An absolute source stays absolute."""
    return ctx.input("queried") if "queried" in ctx.request.inputs else ctx.folder / source


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


def kept(raw: bytes, path: Path) -> Path:
    """Write ``raw`` to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(raw)
    os.replace(part, path)
    return path


def call(folder: Path, entry: str) -> pd.DataFrame:
    """Return what the function ``entry`` in the model's ``folder`` makes. InputError when it raises, or makes no DataFrame."""
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
