"""Takes one look at a version in production: reads what is logged and labelled, compares it with the held-out rows, gives the evidence.

Nothing is kept here but a copy of the reference: a look that is taken again, killed at whatever moment, begins from the same state, the
latest verdict of another run, and ends at the same moment.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from include import atomic
from include.bundles.signature import INPUT, LABEL, PREDICTION
from include.errors import InputError, UpdraftError
from include.monitoring import watching
from include.monitoring.change import ANSWER, FEWEST_ROWS, compare
from include.monitoring.estimate import FEWEST, Calibration
from include.monitoring.meaning import Beside
from include.monitoring.rows import Logged, Reference
from include.monitoring.watching import State

if TYPE_CHECKING:
    import pandas as pd

    from include.registry.mlflow import Mlflow

KIND = "drift"
ANSWERS = (f"outputs.{LABEL}", f"outputs.{PREDICTION}")
"""How the log calls a model's answer: one that it hides is not compared."""
REFERENCE = "reference.parquet"
"""What ``evaluate`` has left of the held-out rows, on the version's MLflow run."""
CHANGE_PAGE = "monitoring/change.html"
"""Evidently's report of the latest look, on the same run."""
SETTLED = timedelta(seconds=60)
"""Rows and labels younger than this are for the next look: they may still be on their way to the log."""
LABELS_LATE = timedelta(days=30)
"""Labels that come later than this after their row are not used."""
MARGIN_CLASSES, MARGIN_NUMBERS = 0.02, 0.1
ABOUT_ROWS = "expect_column_values_to_"
"""Rules on single values; those on a whole table, or on a column's distribution, hold of the data that the model learns from."""
NOT_OF_REQUESTS = ("unique", "of_type", "in_type_list")
"""Rules on values that don't hold of requests: a row may be asked twice, and numbers come as floats."""


@dataclass(frozen=True)
class Subject:
    """What is looked at. ``margin`` None: the default of its task. ``expectations``: the model's own file."""

    model: str
    version: int
    classification: bool
    margin: float | None
    expectations: Path | None
    hidden: frozenset[str] = frozenset()
    """Inputs that the log leaves out or hashes: of their values nothing is known."""

    def seen(self, features: Sequence[str]) -> list[str]:
        """Return those of the columns that the log has the values of; none where it hides the one wide input."""
        if INPUT in self.hidden and INPUT not in features:
            return []
        return [name for name in features if name not in self.hidden]


@dataclass(frozen=True)
class Log:
    """Where rows come from. ``predictions(since, until)`` of the version, ``labels()`` of the model: frames as those of
    :mod:`include.predictions`."""

    predictions: Callable[[datetime | None, datetime], pd.DataFrame]
    labels: Callable[[], pd.DataFrame]
    moment: Callable[[str], datetime | None] = lambda _: None
    """When a row of this id was asked; None where the id doesn't tell."""


def before(rows: Sequence[Mapping[str, Any]], version: int, run_key: str) -> dict[str, Any] | None:
    """Return the evidence of the version's latest look by another run, of stored verdicts, newest first; None where it is the first."""
    for row in rows:
        if row["kind"] == KIND and row["version"] == version and row["run_key"] != run_key:
            found: dict[str, Any] = row["body"]["evidence"]
            return found
    return None


def _nothing_beside(_: Reference, __: Logged) -> Beside:
    return Beside()


def look(
    subject: Subject,
    log: Log,
    reference: Reference | str,
    last: Mapping[str, Any] | None,
    until: datetime,
    page: Path,
    beside: Callable[[Reference, Logged], Beside] = _nothing_beside,
) -> dict[str, Any]:
    """Return the evidence of a look at what came since the ``last`` one, before ``until``; ``page`` gets Evidently's report.

    ``reference`` is a sentence where there is none: what is not known without it is then said. ``beside`` compares what others must be
    asked about (:mod:`include.monitoring.meaning`).
    """
    since = datetime.fromisoformat(last["until"]) if last else None
    state = watching.closing(last) if last else None
    if since is not None and until <= since:
        why = f"the clock stands before the last look ({since.isoformat()}): nothing new is looked at until it has passed."
        return watching.evidence(
            since=since.isoformat(), until=since.isoformat(), rows=0, opening=state, unknown=[f"Harm is not known: {why}"]
        )
    logged = log.predictions(since, until)
    begun, ended = since.isoformat() if since else None, until.isoformat()
    if isinstance(reference, str):
        rows = Logged.of(logged, [])
        return watching.evidence(
            since=begun, until=ended, rows=len(rows), opening=state, unknown=[f"Harm and change are not known: {reference}"]
        )
    features = list(reference.inputs.columns)
    rows = Logged.of(logged, features)
    state = state or _begin(subject, reference)
    seen, unknown = _seen(subject, log, reference, state, rows, since, until)
    quality, no_quality = _quality(subject, rows, subject.seen(features))
    change, no_change = _change(subject, reference, rows, page)
    if change is not None and len(rows) >= FEWEST_ROWS:
        more = beside(reference, rows)
        change["p_values"] |= more.p_values
        no_change += more.unknown
    unknown += no_quality + no_change
    return watching.evidence(
        since=begun, until=ended, rows=len(rows), opening=state, seen=seen, quality=quality, change=change, unknown=unknown
    )


def _begin(subject: Subject, reference: Reference) -> State:
    margin = subject.margin
    if not subject.classification:
        from include.monitoring.rows import LARGEST_ERROR

        margin = (MARGIN_NUMBERS if margin is None else margin) / LARGEST_ERROR
    margin = MARGIN_CLASSES if margin is None else margin
    known = reference.confidence is not None and len(reference.loss) >= FEWEST
    calibration = Calibration.fit(reference.confidence, reference.loss) if known and reference.confidence is not None else None
    return State.start(reference.loss, calibration, margin, reference.useless)


def _seen(
    subject: Subject, log: Log, reference: Reference, state: State, rows: Logged, since: datetime | None, until: datetime
) -> tuple[dict[str, Any], list[str]]:
    """What the tests observe: labels that came since the last look, whenever their rows did, and the confidence of new rows."""
    import numpy as np

    unknown: list[str] = []
    try:
        labels = log.labels()
    except UpdraftError as error:
        return _summary(state, rows, np.zeros(0), None), [f"Labels could not be read, and are for the next look: {error}"]
    fresh = labels[labels["time"] < until] if since is None else labels[(labels["time"] >= since) & (labels["time"] < until)]
    if not len(fresh):
        return _summary(state, rows, np.zeros(0), None), unknown
    past = Logged.of(log.predictions(until - LABELS_LATE, until), list(reference.inputs.columns))
    loss, confidence = past.labelled(fresh, reference.scale)
    late = sum((at := log.moment(str(one))) is not None and at < until - LABELS_LATE for one in fresh["id"])
    if late and not len(loss):
        unknown.append(f"No label could be used: {late} came more than {LABELS_LATE.days} days after their rows.")
    return _summary(state, rows, loss, confidence), unknown


def _summary(state: State, rows: Logged, loss: Any, confidence: Any) -> dict[str, Any]:
    import numpy as np

    known = None if rows.confidence is None else rows.confidence[np.isfinite(rows.confidence)]
    if confidence is not None and not np.isfinite(confidence).all():
        confidence = None
    return state.summary(known, loss, confidence, rows.useless)


def _quality(subject: Subject, rows: Logged, features: Sequence[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """What Great Expectations finds of the model's own rules on single values in what arrived."""
    if subject.expectations is None or not len(rows):
        return None, []
    from include.data import expectations, validate

    lines = []
    for line in expectations.read(subject.expectations):
        about = [kwargs["column"] for kwargs in line.over(features) if kwargs.get("column") in features]
        values = line.rule.startswith(ABOUT_ROWS) and not line.rule.endswith(NOT_OF_REQUESTS)
        lines += [{line.rule: {**line.kwargs, "column": name}} for name in about] if values else []
    if not lines:
        return None, []
    with tempfile.TemporaryDirectory(prefix="updraft-look-") as place:
        folder = Path(place)
        (folder / "expectations.yaml").write_text(yaml.safe_dump(lines[: expectations.MAX_RULES]))
        table = folder / "rows.parquet"
        _stored(rows.inputs).to_parquet(table)
        try:
            found = validate.validate(table, folder / "expectations.yaml", folder / "docs", name=subject.model)
        except InputError as error:
            return None, [f"Whether what arrives meets the model's expectations is not known: {error}"]
    failed = [f"{rule.name}: {rule.figure}" for rule in found.rules if rule.passed is False]
    return {"expectations": len(found.rules), "failed": failed}, []


def _stored(frame: pd.DataFrame) -> pd.DataFrame:
    """A column of numbers and texts, which no file takes, as texts."""
    mixed = [name for name in frame.columns if frame[name].dtype == object and len({type(value) for value in frame[name].dropna()}) > 1]
    return frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})


def _change(subject: Subject, reference: Reference, rows: Logged, page: Path) -> tuple[dict[str, Any] | None, list[str]]:
    if not len(rows):
        return None, []
    answers = reference.answers.reset_index(drop=True), rows.answers.reset_index(drop=True)
    kept = subject.seen(list(reference.inputs.columns))
    told = not {*ANSWERS} & subject.hidden
    hidden = [name for name in (*reference.inputs.columns, *subject.hidden) if name not in kept]
    theirs, ours = (
        frame.drop(columns=hidden, errors="ignore").reset_index(drop=True).assign(**({ANSWER: answer} if told else {}))
        for frame, answer in zip((reference.inputs, rows.inputs), answers, strict=True)
    )
    found = compare(theirs, ours, page)
    few = f"Whether values have changed is not known: {len(rows)} rows since the last look, and {FEWEST_ROWS} are needed."
    return found.to_json(), [few] if len(rows) < FEWEST_ROWS else []


def reference_of(mlflow: Mlflow, subject: Subject, folder: Path) -> Reference | str:
    """Return the version's held-out rows, from ``folder`` once they are there; a sentence where it has none. Raises ComponentError."""
    import pandas as pd

    path = folder / subject.model / f"{subject.version}.parquet"
    try:
        if not path.exists():
            content = mlflow.read(str(mlflow.version(subject.model, subject.version)["run_id"]), REFERENCE)
            Reference.of(pd.read_parquet(io.BytesIO(content)), subject.classification)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, content)
        return Reference.of(pd.read_parquet(path), subject.classification)
    except (InputError, ValueError, OSError) as error:
        path.unlink(missing_ok=True)
        return f"version {subject.version} has no reference of its held-out rows ({error}). Run the model's lifecycle again."
