"""Rows as a batch: a table in, `answers.parquet` out, with all of the table's columns beside what is answered of each row.

Rows are asked as people send them (``POST /v1/models/<name>:predict``): the gateway knows the model's columns,
and says what is wrong by row.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.batch.client import UNREADABLE
from include.batch.form import BatchForm
from include.batch.rows_report import RowReport
from include.bundles.signature import INPUT, Signature
from include.data import table as tables
from include.data.whole import EXACT
from include.errors import InputError
from include.spec.data import Csv
from include.spec.params import ROWS_PARAMS
from include.spec.problem import nearest

if TYPE_CHECKING:
    import pandas as pd

    from include.batch.job import Job
    from include.batch.report import Report

ANSWERS, TABLE = "answers.parquet", "rows.parquet"
ROWS = 16
"""Rows of a request, at most: callers wait behind one request of a batch, and this one is short."""
MOST_BYTES = 2**20
"""Of a request's rows, unless one alone is larger: pictures are, and the gateway takes 8 MiB."""
PREFIX = "answer."
"""How the columns begin that are added to the table."""
PARQUET = b"PAR1"
ERROR, VERSION = f"{PREFIX}error", f"{PREFIX}version"


@dataclass(frozen=True)
class RowsItem:
    """Some rows of the table, from number ``line`` on (the first is 1), as values by column."""

    line: int
    id: str
    instances: list[dict[str, Any]]


@dataclass(frozen=True)
class RowsBatch(BatchForm):
    """Rows of tables and tensors, some a request. ``csv``: how a .csv file is written; ``at_once``: rows that a request may have."""

    csv: Csv
    at_once: int

    what = "rows"
    params = ROWS_PARAMS

    def snapshot(self, path: Path) -> Path:
        with path.open("rb") as file:
            return path.rename(path.with_suffix(".parquet" if file.read(len(PARQUET)) == PARQUET else ".csv"))

    def lay_out(self, source: Path, target: Path, bundle: Path | None) -> int:
        features, texts = _features(bundle)
        frame = tables.read(source, self.csv)
        if source.suffix == ".csv" and (numbers := [name for name in texts if name in frame.columns and frame[name].dtype.kind in "iufb"]):
            # A column of codes, read as numbers, would lose zeros before them.
            frame = tables.read(source, self.csv.model_copy(update={"text": (*self.csv.text, *numbers)}))
        _check(frame, features, str(source))
        count = 0
        part = target.with_name(f".{target.name}.part")
        with part.open("w", encoding="utf-8") as lines:
            for item in _items(frame[features], min(ROWS, self.at_once)):
                lines.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
                count += 1
            lines.flush()
            os.fsync(lines.fileno())
        _keep(frame, target.with_name(TABLE))
        part.rename(target)
        return count

    def read(self, path: Path, start: int, stop: int) -> Iterator[tuple[int, RowsItem]]:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(islice(lines, start, stop), start):
                yield number, RowsItem(**json.loads(line))

    def path(self, model: str) -> str:
        return f"/v1/models/{model}:predict"

    def body(self, model: str, item: RowsItem, options: Mapping[str, Any]) -> bytes:
        return json.dumps({"instances": item.instances}, ensure_ascii=False).encode()

    def record(self, text: bytes, headers: Mapping[str, str], item: RowsItem) -> dict[str, Any]:
        try:
            found = [_flat(one) for one in json.loads(text)["predictions"]]
        except UNREADABLE as error:
            return {"error": f"200 with no predictions ({error!r})"} | self.failed(item)
        if len(found) != len(item.instances):
            return {"error": f"200 with {len(found)} predictions for {len(item.instances)} rows"} | self.failed(item)
        return {"answers": found, "revision": headers.get("x-updraft-revision", "")}

    def parts(self, item: RowsItem) -> Sequence[RowsItem]:
        return [RowsItem(item.line + at, str(item.line + at), [row]) for at, row in enumerate(item.instances)]

    def failed(self, item: RowsItem) -> dict[str, Any]:
        return {"rows": len(item.instances)}

    def joined(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        answers = [{"error": one["error"]} if "error" in one else one["answers"][0] for one in records]
        given = [one for one in records if "error" not in one]
        found: dict[str, Any] = {"answers": answers, "revision": given[0]["revision"] if given else ""}
        # Asked one after the other: what they took together.
        return found | ({"started": given[0]["started"], "seconds": round(sum(one["seconds"] for one in given), 3)} if given else {})

    def collect(self, job: Job, priced_as: str) -> Report:
        import pyarrow.parquet as pq

        report = RowReport(job.model, job.input, job.lines, priced_as)
        table = pq.read_table(job.items.with_name(TABLE))
        columns: dict[str, list[Any]] = {ERROR: [], VERSION: []}
        done = 0
        for record in job.records():
            answers = record.get("answers") or [{"error": record["error"]}] * int(record["rows"])
            report.add({**record, "answers": answers})
            for answer in answers:
                for name, value in answer.items():
                    if name != "error":
                        columns.setdefault(f"{PREFIX}{name}", [None] * done).append(value)
                columns[ERROR].append(answer.get("error"))
                columns[VERSION].append(None if "error" in answer else record["revision"])
                done += 1
                for values in columns.values():
                    values.extend([None] * (done - len(values)))
        for name, values in sorted(columns.items(), key=lambda column: column[0] in (ERROR, VERSION)):
            table = table.append_column(name, _array(values))
        part = job.folder / f".{ANSWERS}.part"
        pq.write_table(table, part, compression="zstd")
        part.rename(job.folder / ANSWERS)
        return report


def _features(bundle: Path | None) -> tuple[list[str], list[str]]:
    """The columns that a row must have, and which of them are texts. InputError for a version that takes more than a value a column."""
    assert bundle is not None, "rows are asked by a version's signature"
    signature = Signature.read(bundle / "signature.json")
    for tensor in signature.inputs:
        if tensor.name != INPUT and tensor.shape[1:] != (1,):
            what = f"takes an array in the column {tensor.name!r}, and a batch asks one value a column."
            raise InputError(what, where="the champion", remedy=f"Send such rows to /v2/models/<name>/infer (shape {list(tensor.shape)}).")
    unused = {tensor.name for tensor in signature.inputs if tensor.optional}
    texts = [tensor.name for tensor in signature.inputs if tensor.datatype == "BYTES" and tensor.name not in unused]
    return [name for name in signature.features if name not in unused], texts


def _check(frame: pd.DataFrame, features: Sequence[str], where: str) -> None:
    known = [str(name) for name in frame.columns]
    for name in features:
        if name not in known:
            near = nearest(name, known)
            remedy = (f"Is it {near!r}? " if near else "") + f"The file has {', '.join(known[:20])}."
            raise InputError(f"has no column {name!r}, which the model takes.", where=where, remedy=remedy)
    if twice := [name for name in known if known.count(name) > 1]:
        raise InputError(f"has the column {twice[0]!r} twice.", where=where, remedy="Rename one of them.")
    if taken := [name for name in known if name.startswith(PREFIX)]:
        raise InputError(f"has a column {taken[0]!r}: answers are called so.", where=where, remedy="Rename it, or leave it out.")
    if not len(frame):
        raise InputError("holds no row.", where=where, remedy="Write rows below the header.")


def _items(frame: pd.DataFrame, most: int) -> Iterator[RowsItem]:
    """The rows as requests: ``most`` of them, and fewer where they are large."""
    names = list(frame.columns)
    rows: list[dict[str, Any]] = []
    size = begun = 0
    for number, values in enumerate(frame.itertuples(index=False, name=None)):
        row = {name: _plain(value) for name, value in zip(names, values, strict=True)}
        length = sum(len(value) for value in row.values() if isinstance(value, str))
        if rows and (len(rows) == most or size + length > MOST_BYTES):
            yield RowsItem(begun + 1, str(begun + 1), rows)
            rows, size, begun = [], 0, number
        rows.append(row)
        size += length
    yield RowsItem(begun + 1, str(begun + 1), rows)


def _plain(value: Any) -> Any:
    """A cell as JSON has it: what is missing is null, a file's bytes are Base64."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, Decimal) and not value.is_finite():
        value = float(value)
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _keep(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pandas(frame)  # an index that tells rows apart is kept, as a column for others than pandas
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"can't be kept as a table: {error}.", where="input", remedy="Give plain columns.") from None
    pq.write_table(table, path, compression="zstd")


def _flat(prediction: Any) -> dict[str, Any]:
    """A row's answer by column: probabilities by class, lists as JSON."""
    if not isinstance(prediction, dict):
        return {"prediction": prediction}
    found: dict[str, Any] = {}
    for name, value in prediction.items():
        if name == "probabilities" and isinstance(value, dict):
            found |= {f"probability.{label}": share for label, share in value.items()}
        elif name != "error":
            found[name] = json.dumps(value) if isinstance(value, dict | list) else value
    return found


def _array(values: Sequence[Any]) -> Any:
    """A column; where versions answered in several types, as texts."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int, float} and any(type(value) is int and abs(value) > EXACT for value in values):
        kinds = {str}
    if kinds <= {int, float} and kinds:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
