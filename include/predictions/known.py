"""Which requests are in the log, by their ids: an id tells its time (UUIDv7), so that only the files of its hour are looked at."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.predictions.journal import journals, rows_of
from include.predictions.segments import hour_of
from include.predictions.store import Segment, Store, store
from include.runtime.settings import Settings

ID = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4})-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}(\.\d{1,6})?")
LONGEST = timedelta(minutes=2)
"""An id is given when a request's body has come, and a row's time is when it began to come."""
LABEL = "outputs.label"


def answers(settings: Settings, model: str, ids: Collection[str]) -> dict[str, Any]:
    """Return the model's answer (the output `label`; None where it has none) to each of ``ids`` that is in the log. Others are absent."""
    wanted = {one: at for one in ids if (at := moment(one)) is not None}
    hours = {hour_of(began.timestamp()) for at in wanted.values() for began in (at, at - LONGEST)}
    found: dict[str, Any] = {}
    for row in (row for path in journals(settings.prediction_log) for row in rows_of(path) if row["model"] == model):
        found |= {row["id"]: row["outputs"].get("label")} if row["id"] in wanted and row["kind"] == "live" else {}
    files = store(settings.predictions)
    for segment in files.segments(model):
        if segment.hour in hours:
            found |= {one: label for one, label in _rows(files, segment) if one in wanted}
    return found


def moment(identity: str) -> datetime | None:
    """Return the time of a logged request's id; None for what is no such id."""
    parts = ID.fullmatch(identity)
    if parts is None or parts[2] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(parts[1].replace("-", ""), 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a year that no calendar has
        return None


def why_unknown(identity: str, found: Mapping[str, Any], rows: Collection[str]) -> str:
    """Say why an id is not among those ``found``; ``rows``: ids of first rows (``<id>.0``) that are in the log."""
    parts = ID.fullmatch(identity)
    if parts is None:
        return "is no request's id: it is the header x-request-id of the answer."
    if parts[2] != "7":
        return "is of a request that was not drawn for the log (`monitor.log.share`)."
    if f"{identity}.0" in rows:
        return f"is of a request of several rows: label each, as {identity}.0, {identity}.1, ..."
    return "is not in the model's log: it came a second ago, was dropped by age, or is another model's."


def _rows(files: Store, segment: Segment) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq

    data = files.get(segment)
    if data is None:
        return
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        named = [name for name in ("id", "kind", LABEL) if name in file.schema_arrow.names]
        for row in file.read(columns=named).to_pylist():
            if row["kind"] == "live":
                yield row["id"], row.get(LABEL)
    except (ValueError, OSError):
        return  # torn: as though it weren't there
