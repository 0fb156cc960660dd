"""Reads files of labels: tables with the columns ``id`` and ``label``."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from include.errors import InputError
from include.runtime import untrusted

COLUMNS = ("id", "label")
Json = dict[str, Any]


def read_labels(path: Path, *, texts: bool = False) -> dict[int, Json]:
    """Return ``{"id", "label"}`` by line (of Parquet: row, from 1). A CSV's numbers and truth values are such unless ``texts``.

    Raises InputError, with the line, for what is no such table.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise InputError("is no file of labels by its name.", where=str(path), remedy=f"Name it *{', *'.join(READERS)}.")
    try:
        untrusted.plain(path).close()  # a pipe would be read for ever
        found = {line: _checked(path, line, row) for line, row in reader(path)}
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}.", where=str(path)) from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"can't be read: {error}", where=str(path), remedy="Write it anew, in UTF-8.") from None
    if not found:
        raise InputError("holds no label.", where=str(path), remedy="Its columns are id and label.")
    if path.suffix == ".csv" and not texts:
        return {line: {**row, "label": _typed(row["label"])} for line, row in found.items()}
    return found


def _csv(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


def _jsonl(path: Path) -> Iterable[tuple[int, Any]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield line, json.loads(text)
                except (ValueError, RecursionError):
                    raise ValueError(f"line {line} is no JSON") from None


def _parquet(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    import pyarrow.parquet as pq

    yield from enumerate(pq.read_table(path).to_pylist(), 1)


READERS: dict[str, Callable[[Path], Iterable[tuple[int, Any]]]] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def _checked(path: Path, line: int, row: Any) -> Json:
    where, remedy = f"{path}: line {line}", "Its columns are id and label."
    if not isinstance(row, Mapping) or any(row.get(name) in (None, "") for name in COLUMNS):
        raise InputError("has no id, or no label.", where=where, remedy=remedy)
    identity, label = row["id"], row["label"]
    if not isinstance(identity, str) or not isinstance(label, bool | int | float | str) or label != label:
        raise InputError("holds something else than a text as id, or than a text, number or truth value as label.", where=where)
    return {"id": identity, "label": label}


def _typed(text: str) -> Any:
    """What a text of a CSV stands for."""
    if text in ("true", "false", "True", "False"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text
