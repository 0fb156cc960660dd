"""Step `extract`: the model's source as one Parquet file, pictures and arrays in it, and a table of what can be said of them in numbers.

Runtime `trainer`. A row's pictures are kept by their bytes, so that a snapshot of the table is a snapshot of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from include.data import table as tables
from include.data.columns import feature_columns
from include.kinds.rows.source import call, rows_file, write
from include.kinds.rows.split import sides
from include.kinds.tensor.columns import Holds, columns_of, pictures_of, plain
from include.kinds.tensor.picture_files import Seen, contents
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import check, hashable
from include.spec.files import is_entry
from include.spec.names import DATA_SOURCE
from include.steps.context import StepContext

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def run(ctx: StepContext) -> dict[str, Any]:
    """Returns ``table``, ``profile`` (paths), ``rows``, ``columns`` (name to what it holds), ``notes``. InputError for every fault."""
    spec = ctx.spec(TensorSpec)
    other = ctx.params.get(DATA_SOURCE)
    source = other or spec.data.source
    frame = call(ctx.folder, source) if other is None and is_entry(source) else tables.read(rows_file(ctx, source), spec.data.csv)
    frame = frame.reset_index(drop=True)
    check(frame, spec)
    seen: dict[str, Sequence[Seen]] = {}
    for name, picture in pictures_of(spec.data).items():
        data, seen[name] = contents(frame[name], ctx.folder, picture)
        frame[name] = data
    columns = columns_of(frame[feature_columns(spec.data, list(frame.columns))], spec.data)
    path = write(_listed(frame), ctx.out / "table.parquet")
    notes = [note for name in seen for note in _twins(frame, name, seen[name], spec)]
    profile = write(_profile(frame, seen, [column.name for column in columns if column.holds is Holds.ARRAY]), ctx.out / "profile.parquet")
    print(f"{source}: {len(frame)} rows, {len(frame.columns)} columns", *notes, sep="\n", flush=True)
    kinds = {column.name: f"{column.holds} {list(column.shape)}" for column in columns}
    return {"table": str(path), "profile": str(profile), "rows": len(frame), "columns": kinds, "notes": notes}


def _listed(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with arrays as lists, which Parquet knows however deep."""
    arrays = [
        name for name in frame.columns if frame[name].map(lambda value: hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0).any()
    ]
    return frame.assign(**{name: frame[name].map(lambda value: value.tolist()) for name in arrays})


def _profile(frame: pd.DataFrame, seen: dict[str, Sequence[Seen]], arrays: list[str]) -> pd.DataFrame:
    """The table that expectations are about: plain columns as they are, figures in the place of pictures and arrays."""
    import numpy as np
    import pandas as pd

    found: dict[str, Any] = {}
    for name in map(str, frame.columns):
        if name in seen:
            fingerprints = Counter(one.fingerprint for one in seen[name])
            for figure in ("width", "height", "bytes"):
                found[f"{name}.{figure}"] = [getattr(one, figure) for one in seen[name]]
            found[f"{name}.alike"] = [fingerprints[one.fingerprint] - 1 for one in seen[name]]
        elif name in arrays:
            values = [np.asarray(value, dtype="float64") for value in frame[name].map(plain)]
            for figure in ("min", "mean", "max"):
                found[f"{name}.{figure}"] = [float(getattr(value, figure)()) if value.size else 0.0 for value in values]
        else:
            found[name] = frame[name].to_numpy()
    return pd.DataFrame(found)


def _twins(frame: pd.DataFrame, name: str, seen: Sequence[Seen], spec: TensorSpec) -> list[str]:
    """Say how many held-out pictures look like one that is trained on: what is learned by heart is then judged as though it were known."""
    held_out: np.ndarray[Any, Any] = sides(hashable(frame), spec.data).test
    trained = {one.fingerprint for one, out in zip(seen, held_out, strict=True) if not out}
    twins = sum(one.fingerprint in trained for one, out in zip(seen, held_out, strict=True) if out)
    if not twins:
        return []
    what = f"{twins} of {int(held_out.sum())} held-out pictures look like one that is trained on"
    return [f"column {name!r}: {what}; `data.group` keeps such rows together."]
