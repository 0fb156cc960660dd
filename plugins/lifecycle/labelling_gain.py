"""The rows by which it is reckoned whether choosing pays: those of the champion's snapshot, and what people have labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.data import table as tables
from include.data.columns import feature_columns
from include.data.origin import CHOSEN, LABELLED, ORIGIN, SOURCE
from include.data.snapshot import restore
from include.data.store import DataStore
from include.errors import InputError
from include.kinds.rows.split import sides
from include.kinds.table.labelled import labelled
from include.labels import kept
from include.monitoring.rows import texts
from include.spec.label import LOG
from include.spec.schema import ModelSpec
from lifecycle.labelling_rows import champion_of

if TYPE_CHECKING:
    import pandas as pd

    from include.labels.gain import Rows
    from lifecycle.labelling import Job


def arms(job: Job) -> tuple[Rows, Rows, Rows, Rows] | None:
    """Return the rows of the source that are trained on, the chosen rows, those drawn at random, and the held-out ones of the source; None
    where that can't be told: before there is a champion, of numbers, of logged rows."""
    spec, champion = job.run.spec, champion_of(job)
    assert isinstance(spec, ModelSpec), "a spec with a part `label` is a table's"
    if champion is None or job.numbers or job.label.rows == LOG:
        return None
    version = job.run.mlflow.version(job.run.model, champion)
    tags = job.run.mlflow.tags(str(version["run_id"]))
    try:
        path = restore(tags.get("updraft.data.md5", ""), DataStore.of(job.run.settings), job.file(tags.get("updraft.data.name", "table")))
    except InputError:
        return None
    frame = tables.read(path, spec.data.csv)
    if ORIGIN in frame.columns:
        frame = frame[frame[ORIGIN] == SOURCE].drop(columns=ORIGIN).reset_index(drop=True)
    both, _ = labelled(frame, kept.read(job.rows), spec)
    split, origin = sides(both, spec.data), both[ORIGIN]
    features = feature_columns(spec.data, list(frame.columns))

    def rows(of: pd.Series[bool]) -> Rows:
        part = both[of.to_numpy()].reset_index(drop=True)
        return part[features], list(texts(part[spec.data.target]))

    source = origin == SOURCE
    return rows(source & split.train), rows(origin == CHOSEN), rows(origin == LABELLED), rows(source & split.test)
