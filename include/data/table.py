"""The table a model learns from: read with every fault named, and checked against what the spec says of it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data.columns import feature_columns
from include.errors import InputError
from include.spec.problem import nearest
from include.spec.schema import ModelSpec, Task

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
MIN_ROWS = 10
"""Fewer can't be split into a part to train on and a part to judge by."""
MOSTLY = 0.9
"""A text column of which this share are numbers was meant to be a column of numbers."""
SHOWN = 5
"""Offending rows that a message names."""
CSV_FIELD_LIMIT = 1 << 20


def read(path: Path) -> pd.DataFrame:
    """The table in ``path``, a CSV (UTF-8, comma, one header line) or a Parquet file. Raises ``InputError`` (file, line, remedy).

    Rows are counted from 1 in every message, the header not included.
    """
    return parse(path, content(path))


def content(path: Path) -> bytes:
    """The bytes of a table's file. Raises ``InputError`` when there is none, or nothing in it."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path.suffix or 'a file without suffix'} is no table.", where=str(path), remedy="Use a .csv or a .parquet file.")
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            raise InputError("is no plain file.", where=str(path), remedy="Name a file.")
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"can't be read: {why}.", where=str(path), remedy="Create the file or correct the path.") from None
    if not raw.strip():
        raise InputError("is empty.", where=str(path), remedy="Write a header line and rows.")
    return raw


def parse(path: Path, raw: bytes) -> pd.DataFrame:
    """The table that ``raw``, the content of ``path``, holds. Raises ``InputError``."""
    return _csv(path, raw) if path.suffix == ".csv" else _parquet(path, raw)


def check(frame: pd.DataFrame, spec: ModelSpec) -> None:
    """Raise ``InputError`` unless ``frame`` is a table that ``spec`` can be trained and judged on."""
    _check_columns(frame, spec)
    features = feature_columns(spec.data, list(frame.columns))
    for name in features:
        _check_feature(name, frame[name])
    _check_target(frame[spec.data.target], spec)


def _csv(path: Path, raw: bytes) -> pd.DataFrame:
    import pandas as pd

    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}."
        raise InputError(what, where=f"{path}:{line}", remedy="Save the file as UTF-8.") from None
    _check_lines(path, text)
    try:
        return pd.read_csv(io.StringIO(text), low_memory=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"can't be parsed: {error}", where=str(path), remedy="Correct the CSV.") from None


def _check_lines(path: Path, text: str) -> None:
    """Every line has the header's number of fields. Pandas itself would fill short lines, and shift the columns of long ones."""
    csv.field_size_limit(CSV_FIELD_LIMIT)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for fields in lines:
            if not header:
                header = fields
                _check_header(path, header)
            elif fields and len(fields) != len(header):
                what = f"{len(fields)} fields where the header has {len(header)}."
                raise InputError(what, where=f"{path}:{lines.line_num}", remedy="Correct the line; quote a text that holds a comma.")
    except csv.Error as error:
        raise InputError(f"malformed CSV: {error}.", where=f"{path}:{lines.line_num}", remedy="Correct the line.") from None


def _check_header(path: Path, header: list[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"the column {twice[0]!r} is there twice.", where=f"{path}:1", remedy="Rename one of them.")
    if header and not all(name.strip() for name in header):
        raise InputError(
            f"column {[bool(name.strip()) for name in header].index(False) + 1} has no name.", where=f"{path}:1", remedy="Name it."
        )


def _parquet(path: Path, raw: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(raw)).to_pandas()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"is no readable Parquet file: {error}.", where=str(path), remedy="Write it again.") from None
    return frame


def _check_columns(frame: pd.DataFrame, spec: ModelSpec) -> None:
    columns = list(frame.columns)
    for name in columns:
        if not isinstance(name, str):
            raise InputError(
                f"the column name {name!r} is no text.", where="data", remedy="Name columns by texts: `frame.columns.astype(str)`."
            )
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise InputError(f"the column {twice[0]!r} is there twice.", where="data", remedy="Rename one of them.")
    wanted: dict[str, tuple[str, ...]] = {"data.target": (spec.data.target,), "data.group": (spec.data.group,) if spec.data.group else ()}
    wanted |= {"data.features": spec.data.features or (), "data.exclude": spec.data.exclude, "gate.slices": spec.gate.slices}
    for field, names in wanted.items():
        for name in names:
            if name not in columns:
                raise InputError(f"the data has no column {name!r}.", where=field, remedy=_instead(name, columns))
    feature_columns(spec.data, columns)
    if len(frame) < MIN_ROWS:
        what = "the data has a header and no rows." if len(frame) == 0 else f"{len(frame)} row(s) are too few to split into train and test."
        raise InputError(what, where="data", remedy=f"At least {MIN_ROWS} are needed.")


def _instead(name: str, columns: list[str]) -> str:
    near = nearest(name, columns)
    listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    return (f"Did you mean {near!r}? " if near else "") + f"It has: {listed}."


def _rows(mask: Any) -> str:
    """The first rows where ``mask`` is true, for a message."""
    import numpy as np

    at = np.flatnonzero(np.asarray(mask, dtype=bool))
    return f"{len(at)} row(s), first {', '.join(str(row + 1) for row in at[:SHOWN])}"


def _check_feature(name: str, column: pd.Series[Any]) -> None:
    import pandas as pd

    where = f"column {name!r}"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        kinds = sorted({type(value).__name__ for value in column.dropna()})
        raise InputError(f"mixes types: {', '.join(kinds)}.", where=where, remedy="Give the column one type.")
    if kind in ("bytes", "complex", "datetime", "datetime64", "date", "timedelta", "timedelta64", "time", "period", "interval"):
        remedy = "Turn it into numbers or texts, or put it in `data.exclude`."
        raise InputError(f"holds values of the kind {kind}, which a model can't be served with.", where=where, remedy=remedy)
    _check_finite(column, where)
    if kind == "string":
        numbers = pd.to_numeric(column, errors="coerce")
        stray = numbers.isna() & column.notna()
        if 0 < stray.sum() <= (1 - MOSTLY) * column.notna().sum():
            what = f"holds texts among numbers: {str(column[stray].iloc[0])[:60]!r} ({_rows(stray)})."
            raise InputError(what, where=where, remedy="Correct the values, or put the column in `data.exclude`.")


def _check_finite(column: pd.Series[Any], where: str) -> None:
    import numpy as np
    import pandas as pd

    if pd.api.types.is_float_dtype(column):
        infinite = np.isinf(column.to_numpy(dtype=float, na_value=np.nan))
        if infinite.any():
            raise InputError(f"holds infinite values ({_rows(infinite)}).", where=where, remedy="Replace or drop them.")


def _check_target(target: pd.Series[Any], spec: ModelSpec) -> None:
    import pandas as pd

    where = f"target {target.name!r}"
    if target.isna().any():
        raise InputError(f"is missing in {_rows(target.isna())}.", where=where, remedy="Drop these rows or fill them in.")
    _check_finite(target, where)
    if spec.task is Task.REGRESSION:
        if pd.api.types.is_bool_dtype(target) or not pd.api.types.is_numeric_dtype(target):
            raise InputError(
                _no_number(target), where=where, remedy="Regression predicts a number: correct the values, or set `task: classification`."
            )
    else:
        _check_classes(target, where)
    if target.nunique() < 2:
        kind = "one class" if spec.task is Task.CLASSIFICATION else "one value"
        raise InputError(
            f"holds only {kind}, {str(target.iloc[0])[:60]!r}.", where=where, remedy="There is nothing to learn: get data that varies."
        )


def _no_number(target: pd.Series[Any]) -> str:
    import pandas as pd

    stray = pd.to_numeric(target.astype(str), errors="coerce").isna()
    if not stray.any():
        return f"holds values of the type {target.dtype}, not numbers."
    return f"holds {str(target[stray].iloc[0])[:60]!r}, no number ({_rows(stray)})."


def _check_classes(target: pd.Series[Any], where: str) -> None:
    import pandas as pd

    kind = pd.api.types.infer_dtype(target, skipna=True)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        broken = target.astype(float) % 1 != 0
        if broken.any():
            remedy = "Classification predicts a class: use whole numbers or texts, or set `task: regression`."
            raise InputError(f"holds {target[broken].iloc[0]}, no class ({_rows(broken)}).", where=where, remedy=remedy)
    elif kind not in ("integer", "boolean", "string", "categorical"):
        raise InputError(f"holds values of the kind {kind}.", where=where, remedy="Use whole numbers, texts or booleans as classes.")
