"""The table a model learns from: read with every fault named, and checked against what the spec says of it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.data import csv_file, formats, precision
from include.data.columns import feature_columns, named_columns, typed
from include.data.giveaways import giveaways
from include.data.origin import check_free
from include.data.whole import frame_of
from include.errors import InputError
from include.spec.data import Csv
from include.spec.problem import nearest
from include.spec.schema import ModelSpec, Task

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
MIN_ROWS = 10
"""Fewer can't be split into a part to train on and a part to judge by."""
MOSTLY = 0.9
"""A text column of which this share are numbers was meant to be a column of numbers."""
FEW_WORDS, HALF = 3, 0.5
"""Where half of a text column are numbers, so few different words are signs for something missing."""
CATEGORIES = 10_000
"""Different texts of a column that are compared with each other."""
SHOWN = 5
"""Offending rows that a message names."""


def read(path: Path, csv: Csv | None = None) -> pd.DataFrame:
    """The table in ``path``: a CSV (one header line; written as ``csv`` says) or a Parquet file. Raises ``InputError`` with its place.

    Rows are counted from 1 in every message, the header not included.
    """
    return parse(path, content(path), csv)[0]


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


def parse(path: Path, raw: bytes, csv: Csv | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The table that ``raw``, the content of ``path``, holds, and a sentence a column that is read otherwise than it is written."""
    return csv_file.parse(path, raw, csv or Csv()) if path.suffix == ".csv" else (_parquet(path, raw), [])


def check(frame: pd.DataFrame, spec: ModelSpec, *, with_production: bool = False) -> None:
    """Raise ``InputError`` unless ``frame`` is a table that ``spec`` can be trained and judged on. Only one ``with_production`` has the
    platform's own column."""
    import pandas as pd

    _check_columns(frame, spec)
    if not with_production:
        check_free(frame.columns)
    columns = feature_columns(spec.data, list(frame.columns))
    for name in columns:
        if spec.data.features is None and re.fullmatch(r"Unnamed: \d+", name):
            what = (
                "was a column without a name, which pandas writes of a table's index: the number of a row, and nothing that is known of it."
            )
            raise InputError(what, where=f"column {name!r}", remedy="Put it in `data.exclude`, or name it in `data.features`.")
        check_feature(name, frame[name], spec.data.csv)
    plain = typed(frame)
    numbers = all(pd.api.types.is_numeric_dtype(plain[name].dtype) for name in columns)
    for name in columns:
        precision.check_holds(plain[name], as_whole=not numbers)
    _check_target(frame[spec.data.target], spec)


def remarks(frame: pd.DataFrame, spec: ModelSpec) -> list[str]:
    """One sentence for each column whose texts hold categories that a reader would take for one, or nothing that can be seen, for an index
    with a name, which is no column, and for each column that tells the target by itself."""
    index = [str(name) for name in frame.index.names if name is not None]
    found = [
        f"the table's index {name!r} is no column, so no model sees it: `reset_index()` in the data source makes it one." for name in index
    ]
    features = feature_columns(spec.data, list(frame.columns))
    found += giveaways(frame, features, spec.data.target)
    for name in [*features, spec.data.target]:
        column = frame[name]
        if column.dtype != object and str(column.dtype) not in ("string", "str", "category"):
            continue
        blank = column.isin([text for text in _texts(column) if text and not _trimmed(text)])
        if blank.any():
            found.append(f"column {name!r}: {_rows(blank)}, hold nothing that can be seen, and are texts like others: none is missing.")
        for how, same in (("blanks and what can't be seen", _trimmed), ("blanks and the case of letters", _folded)):
            if alike := _alike(column, same):
                found.append(f"column {name!r}: {' and '.join(map(repr, alike))} differ in {how} only, and are categories of their own.")
                break
    return found


def _alike(column: pd.Series[Any], same: Callable[[str], str]) -> list[str]:
    """Different texts of ``column`` that are the ``same``: the first such, none when there are none."""
    found: dict[str, list[str]] = {}
    for text in _texts(column):
        found.setdefault(same(text), []).append(text)
    return next((values[:SHOWN] for values in found.values() if len(values) > 1), [])


def _texts(column: pd.Series[Any]) -> list[str]:
    """The different texts of ``column``, the first :data:`CATEGORIES` of them."""
    return [value for value in column.dropna().unique()[:CATEGORIES] if isinstance(value, str)]


def _trimmed(text: str) -> str:
    shown = "".join(letter for letter in unicodedata.normalize("NFC", text) if unicodedata.category(letter) != "Cf")
    return " ".join(shown.split())


def _folded(text: str) -> str:
    return _trimmed(text).casefold()


def _parquet(path: Path, raw: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return frame_of(pq.read_table(pa.BufferReader(raw)))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"is no readable Parquet file: {error}.", where=str(path), remedy="Write it again.") from None


def _check_columns(frame: pd.DataFrame, spec: ModelSpec) -> None:
    columns = list(frame.columns)
    for name in columns:
        if not isinstance(name, str):
            raise InputError(
                f"the column name {name!r} is no text.", where="data", remedy="Name columns by texts: `frame.columns.astype(str)`."
            )
    if twice := [name for name, count in Counter(unicodedata.normalize("NFC", name) for name in columns).items() if count > 1]:
        raise InputError(f"the column {twice[0]!r} is there twice.", where="data", remedy="Rename one of them.")
    for field, names in named_columns(spec).items():
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


def check_feature(name: str, column: pd.Series[Any], csv: Csv) -> None:
    """Raise ``InputError`` when a model can't learn from the column ``name``, or can't be served with its values."""
    import pandas as pd

    where = f"column {name!r}"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        kinds = sorted({type(value).__name__ for value in column.dropna()})
        raise InputError(f"mixes types: {', '.join(kinds)}.", where=where, remedy="Give the column one type.")
    if kind in ("bytes", "complex", "datetime", "datetime64", "date", "timedelta", "timedelta64", "time", "period", "interval"):
        how = "numbers or texts" if kind in ("bytes", "complex", "interval") else "numbers (days since some day)"
        remedy = f"Turn it into {how} in the data source, or put it in `data.exclude`."
        raise InputError(f"holds values of the kind {kind}, which a model can't be served with.", where=where, remedy=remedy)
    _check_finite(column, where)
    if kind == "string" and name not in csv.text:
        _check_written(column, where, csv)
        numbers = pd.to_numeric(column, errors="coerce")
        stray = numbers.isna() & column.notna()
        known, few = column.notna().sum(), column[stray].nunique() <= FEW_WORDS
        if 0 < stray.sum() <= ((1 - HALF) if few else (1 - MOSTLY)) * known:
            word = str(column[stray].iloc[0])[:60]
            remedy = f"Correct the values, or put the column in `data.exclude`; where {word!r} means missing: `data.csv.missing`."
            raise InputError(f"holds texts among numbers: {word!r} ({_rows(stray)}).", where=where, remedy=remedy)


def _check_written(column: pd.Series[Any], where: str, csv: Csv) -> None:
    """Numbers and dates that were read as texts would be categories, each for itself."""
    known = column.dropna()
    if (found := formats.find(str(column.name), list(known[known != ""].astype(str)))) is not None:
        what = f"holds {found.what} as texts, such as {found.value!r}: a model would take each for a category of its own."
        reads = f"In a CSV file `data.csv: {{{found.setting}}}` reads them; elsewhere convert" if found.setting else "Convert"
        remedy = f"{reads} them in the data source. `data.exclude` hides the column, and `data.csv.text` keeps it as texts."
        raise InputError(what, where=where, remedy=remedy)
    if csv.decimal != "." and (points := known[known.astype(str).str.fullmatch(r"\s*[+-]?[0-9]*\.[0-9]+\s*")]).size >= MOSTLY * len(known):
        what = f"holds numbers with a decimal point as texts, such as {points.iloc[0]!r}, and `data.csv.decimal` is {csv.decimal!r}."
        raise InputError(what, where=where, remedy="Set the one that the file uses; `data.csv.text` keeps the column as texts.")
    whole = known.astype(str).str.fullmatch(r"[+-]?[1-9]\d{18,}")
    if len(known) and whole.all() and not csv.text:
        raise csv_file.too_large(str(column.name), str(known.iloc[0]))


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
    if spec.task is Task.CLASSIFICATION and (alike := _alike(target, _trimmed)):
        what = f"holds the classes {' and '.join(map(repr, alike))}, which only what can't be seen tells apart."
        raise InputError(what, where=where, remedy="Write each class in one way.")
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
