"""Reads the prediction log, and the labels that came by feedback, as DataFrames."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.predictions import segments
from include.predictions.journal import journals, rows_of
from include.predictions.store import store
from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import SERVICE, Credentials
from include.runtime.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

LABEL_COLUMNS = ("id", "time", "label")
PAGE = 10_000
"""Labels of one call."""
HOUR = timedelta(hours=1)


def read(
    settings: Settings,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    versions: Collection[int] | None = None,
) -> pd.DataFrame:
    """Read what is logged of a model, by time: at ``since`` or later, before ``until`` (without a zone: UTC), of these ``versions``.

    Columns: ``id``, ``time`` (UTC), ``version`` (0: no revision answered), ``key`` (the caller's), ``kind`` (``live``, or ``mirror`` for
    the copy that a canary got, of the same ``id``), ``latency_ms``, ``status``, ``trace_id`` where
    requests are traced, then ``inputs.<name>`` and ``outputs.<name>``. A request
    of several rows is several rows here, with the ids ``<id>.0``, ``<id>.1``, ... A file that can't be read is left out, and said in the
    log. Raises ComponentError when S3 does not answer.
    """
    import pandas as pd

    frames = [frame for frame in _frames(settings, model, _utc(since), _utc(until), versions) if len(frame)]
    if not frames:
        return segments.empty()
    found = pd.concat(_whole(frames), ignore_index=True).drop_duplicates(["id", "kind"])
    if since is not None:
        found = found[found["time"] >= _utc(since)]
    if until is not None:
        found = found[found["time"] < _utc(until)]
    return found.sort_values("time", kind="stable", ignore_index=True)


def _whole(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Frames of which none makes floats of what are whole numbers beyond 2**53 in another."""
    from pandas.api import types

    wide = {str(name) for frame in frames for name in frame.columns if str(frame[name].dtype) == "Int64"}
    found = []
    for frame in frames:
        own = {name: frame[name] for name in wide.intersection(frame.columns) if types.is_float_dtype(frame[name].dtype)}
        whole = {name: column.astype("Int64") for name, column in own.items() if (column.dropna() % 1 == 0).all()}
        found.append(frame.assign(**whole) if whole else frame)
    return found


def _frames(
    settings: Settings, model: str, since: datetime | None, until: datetime | None, versions: Collection[int] | None
) -> Iterator[pd.DataFrame]:
    # Journals first: one that becomes Parquet meanwhile is seen twice, and never not at all.
    for path in journals(settings.prediction_log):
        rows = [row for row in rows_of(path) if row["model"] == model and (versions is None or row["version"] in versions)]
        yield segments.to_frame(rows)
    files = store(settings.predictions)
    for segment in files.segments(model):
        if versions is not None and segment.version not in versions:
            continue
        if (since is not None and segment.hour + HOUR <= since) or (until is not None and segment.hour >= until):
            continue
        data = files.get(segment)
        try:
            yield segments.empty() if data is None else segments.from_parquet(data)
        except (ValueError, OSError) as error:
            logging.getLogger(__name__).warning("%s is left out: it is no whole Parquet file (%s).", segment.name, error)


def labels(settings: Settings, model: str) -> pd.DataFrame:
    """Read the labels of a model's predictions: ``id``, ``time`` (UTC; when it was told), ``label``; the latest of each id.

    Raises ComponentError when Airflow does not answer.
    """
    import pandas as pd

    api = service(settings)
    rows: list[dict[str, Any]] = []
    while page := api.get(f"/lifecycle/v1/models/{model}/feedback", params={"after": rows[-1]["entry"] if rows else 0, "limit": PAGE}):
        rows += page
    latest = {row["id"]: row for row in rows}
    frame = pd.DataFrame([{name: row[name] for name in LABEL_COLUMNS} for row in latest.values()], columns=list(LABEL_COLUMNS))
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    return frame


def service(settings: Settings) -> AirflowApi:
    """Return the platform's own way to Airflow."""
    return AirflowApi(settings.airflow_url, SERVICE, Credentials.load(settings.home).airflow_passwords[SERVICE])


def _utc(at: datetime | None) -> Any:
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)
