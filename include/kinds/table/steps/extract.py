"""Step `extract`: the model's source as one table file in the step's folder (runtime `trainer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.data import table
from include.data.columns import feature_columns
from include.kinds.rows.source import call, kept, rows_file, write
from include.kinds.table.labelled import labelled
from include.kinds.table.production import added
from include.kinds.table.table import wide_features
from include.spec.files import is_entry
from include.spec.names import DATA_SOURCE
from include.spec.schema import ModelSpec
from include.steps.context import StepContext

if TYPE_CHECKING:
    import pandas as pd


def run(ctx: StepContext) -> dict[str, Any]:
    """``{"table": path, "rows": n, "columns": {name: type}, "notes": [sentence]}``. Raises ``InputError`` for every fault of the source.

    A file is copied byte for byte. What a function returns is written as Parquet, the same bytes for the same data; so is a table with rows
    that people have labelled (input ``labelled``) or of production (``production``) below those of the source.
    """
    import pandas as pd

    spec = ctx.spec(ModelSpec)
    other = ctx.params.get(DATA_SOURCE)
    source = other or spec.data.source
    notes: list[str] = []
    if other is None and is_entry(source):
        frame = call(ctx.folder, source)
        table.check(frame, spec)
        path = write(frame, ctx.out / "table.parquet")
    else:
        original = rows_file(ctx, source)
        raw = table.content(original)  # read once: what is checked is what is kept
        frame, notes = table.parse(original, raw, spec.data.csv)
        table.check(frame, spec)
        path = kept(raw, ctx.out / f"table{original.suffix}")
    if "labelled" in ctx.request.inputs:
        frame, said = labelled(frame, pd.read_parquet(ctx.input("labelled")), spec)
        table.check(frame, spec, with_production=True)
        path = write(frame, ctx.out / "table.parquet")
        notes += said
    if "production" in ctx.request.inputs:
        frame, said = added(frame, pd.read_parquet(ctx.input("production")), spec)
        table.check(frame, spec, with_production=True)
        path = write(frame, ctx.out / "table.parquet")
        notes += said
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
