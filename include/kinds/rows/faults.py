"""What is wrong in the part ``data`` of a spec whose model learns from rows: columns that contradict each other, and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from include.data import query
from include.data.table import SUFFIXES
from include.errors import InputError
from include.gates.metrics import is_own
from include.spec.data import Data
from include.spec.document import Fault, FieldPath
from include.spec.faults import twice
from include.spec.files import entry_fault, file_fault, is_entry, is_query
from include.spec.schema import Spec


def column_names(data: Data) -> Iterator[Fault]:
    """Yield every column that is named twice, or in two places that contradict each other."""
    features = data.features
    for where, names in (("features", features or ()), ("exclude", data.exclude)):
        for name in twice(names):
            yield ("data", where), f"names {name!r} twice.", {"remedy": "Keep one."}
    if features is not None and not features:
        yield ("data", "features"), "names no column.", {"remedy": "Name at least one, or leave the field out to use every column."}
    for name in features or ():
        at: FieldPath = ("data", "features", (features or ()).index(name))
        if name == data.target:
            yield at, f"{name!r} is the target.", {"remedy": "The model must not see what it predicts: take it out."}
        if name == data.group:
            yield at, f"{name!r} is the group.", {"remedy": "The group only divides train from test: take it out."}
        if name in data.exclude:
            yield at, f"{name!r} is excluded as well.", {"remedy": "Take it out of `data.features` or of `data.exclude`."}
    yield from _sides(data)
    yield from _signs(data)
    if data.group is not None and data.group == data.target:
        yield ("data", "group"), "is the target.", {"remedy": "Group rows by another column."}
    if data.target in data.exclude:
        yield ("data", "exclude"), f"names the target {data.target!r}.", {"remedy": "The target is never a feature: take it out."}


def _signs(data: Data) -> Iterator[Fault]:
    if data.csv.thousands == data.csv.decimal:
        what = f"is {data.csv.decimal!r}, and so is `data.csv.decimal`: 1{data.csv.decimal}5 would be 15."
        yield ("data", "csv", "thousands"), what, {"remedy": "Keep the one that the file has."}


def _sides(data: Data) -> Iterator[Fault]:
    ways = [name for name, given in (("group", data.group), ("key", data.key), ("time", data.time)) if given]
    if len(ways) > 1:
        yield ("data", ways[1]), f"stands beside `data.{ways[0]}`.", {"remedy": "One of group, key and time decides a row's side: keep it."}
    if data.target in (*data.key, data.time):
        yield ("data", "key" if data.target in data.key else "time"), "is the target.", {"remedy": "Name another column."}
    if data.gap and data.time is None:
        yield ("data", "gap"), "needs `data.time`.", {"remedy": "Name the column of times, or leave the gap out."}


def metric_file(spec: Spec, folder: Path) -> Iterator[Fault]:
    """Yield why the function of the metric that ``spec`` has of its own is not as it must be in the model's ``folder``."""
    if spec.gate.metric is not None and is_own(spec.gate.metric):
        yield from entry_fault(("gate", "metric"), spec.gate.metric, folder, arguments=2)


def data_files(data: Data, folder: Path) -> Iterator[Fault]:
    """Yield why the source of the data or its expectations are not as they must be in the model's ``folder``."""
    source: FieldPath = ("data", "source")
    if is_entry(data.source):
        yield from entry_fault(source, data.source, folder, arguments=0)
    elif is_query(data.source):
        yield from _query(data, folder)
    elif Path(data.source).suffix not in SUFFIXES:
        remedy = "Name `module:function` of a Python file in the model's folder, or a .csv, .parquet or .sql file there."
        yield source, f"{data.source[:80]!r} is neither a function nor a table.", {"remedy": remedy}
    else:
        yield from file_fault(source, data.source, folder)
    if data.sql is not None and not is_query(data.source):
        yield ("data", "sql"), f"is of no use: {data.source[:80]!r} is no .sql file.", {"remedy": "Take it out, or name a query's file."}
    yield from file_fault(("data", "expectations"), data.expectations, folder)


def _query(data: Data, folder: Path) -> Iterator[Fault]:
    if data.sql is None:
        remedy = "Write `sql: {connection: updraft_data_...}` beside it: the Airflow connection of the database."
        yield ("data", "sql"), f"is missing: {data.source!r} is a query, and nothing says where it is asked.", {"remedy": remedy}
    faults = list(file_fault(("data", "source"), data.source, folder))
    yield from faults
    if not faults:
        try:
            query.read(folder / data.source)
        except InputError as error:
            yield ("data", "source"), f"{data.source} {error.what}", {"remedy": error.remedy}
