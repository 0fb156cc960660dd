"""Which requests are in the log, by their ids: an id tells its time (UUIDv7), so that only the files of its hour are looked at."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.errors import ComponentError, InputError
from include.predictions.journal import journals, rows_of
from include.predictions.segments import hour_of
from include.predictions.store import Segment, Store, store
from include.runtime.settings import Settings

ID = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4})-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}(\.\d{1,6})?")
LONGEST = timedelta(minutes=2)
"""An id is given when a request's body has come, and a row's time is when it began to come."""
LABEL = "outputs.label"
MOST_FILES = 600
"""Files that one question may look through: ids of as many hours as they are spread over cost as much as a day's."""
WAIT_S = 2.0
_TURN = threading.Lock()
"""One question at a time: whoever asks many does not keep the server's threads."""


class TooSpread(InputError):
    """Ids of too many hours at once: fewer of them, those of neighbouring hours together, are looked up."""


def answers(settings: Settings, model: str, ids: Collection[str]) -> dict[str, Any]:
    """Return the model's answer (the output `label`; None where it has none) to each of ``ids`` that is in the log. Others are absent.

    Raises TooSpread when they lie in more than :data:`MOST_FILES` files, ComponentError while another question takes long.
    """
    if not _TURN.acquire(timeout=WAIT_S):
        raise ComponentError("looks up others' ids.", where="the prediction log", remedy="Ask again.")
    try:
        return _answers(settings, model, ids)
    finally:
        _TURN.release()


def _answers(settings: Settings, model: str, ids: Collection[str]) -> dict[str, Any]:
    wanted = {one: at for one in ids if (at := moment(one)) is not None}
    hours = {hour_of(began.timestamp()) for at in wanted.values() for began in (at, at - LONGEST)}
    files = store(settings.predictions)
    rows = [row for path in journals(settings.prediction_log) for row in rows_of(path, wanted)]
    segments = [segment for segment in files.segments(model) if segment.hour in hours]
    if len(segments) > MOST_FILES:
        raise TooSpread(
            f"the ids lie in {len(segments)} files of the log, and one call looks through {MOST_FILES}.",
            where="labels",
            remedy="Sort them by id, which is by time, and tell fewer at once.",
        )
    found = {row["id"]: row["outputs"].get("label") for row in rows if row["model"] == model and row["kind"] == "live"}
    for segment in segments:
        found |= _rows(files, segment, wanted)
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


def _rows(files: Store, segment: Segment, wanted: Collection[str]) -> dict[str, Any]:
    """The answers in a file to those that are wanted."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    data = files.open(segment)
    if data is None:
        return {}
    try:
        with data, pq.ParquetFile(data) as file:
            table = file.read(columns=[name for name in ("id", "kind", LABEL) if name in file.schema_arrow.names])
        mine = pc.and_(pc.is_in(table["id"], value_set=pa.array(wanted, pa.string())), pc.equal(table["kind"], "live"))
        return {row["id"]: row.get(LABEL) for row in table.filter(mine).to_pylist()}
    except (ValueError, OSError):
        return {}  # torn: as though it weren't there
