"""Held-out rows and logged ones of a made-up classifier of two columns, as the evaluation and the prediction log leave them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.monitoring import look, watching
from include.monitoring.rows import Reference
from include.predictions.known import moment

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LINES = """
- expect_table_row_count_to_be_between: {min_value: 100000}
- expect_column_values_to_not_be_null: {columns: "*"}
- expect_column_values_to_be_between: {column: age, min_value: 0, max_value: 120}
- expect_column_values_to_be_in_set: {column: kind, value_set: [0, 1]}
"""


def drawn(rng: np.random.Generator, rows: int, wrong: float = 0.0) -> pd.DataFrame:
    """Columns, answers, confidence and truth; ``wrong``: how much oftener than its confidence says an answer is wrong."""
    age, city = rng.normal(50, 12, rows).round(1), rng.choice(["Bonn", "Graz", "Lyon"], rows)
    confidence = rng.uniform(0.6, 1, rows)
    answer = rng.integers(0, 2, rows)
    missed = rng.random(rows) < 1 - confidence + wrong
    parts = {"inputs.age": age, "inputs.city": city, "outputs.prediction": answer, "outputs.confidence": confidence}
    return pd.DataFrame(parts | {"truth": np.where(missed, 1 - answer, answer)})


def reference(rows: int = 3_000) -> Reference:
    return Reference.of(drawn(np.random.default_rng(0), rows), classification=True)


def logged(frame: pd.DataFrame, at: datetime, name: str = "r") -> pd.DataFrame:
    """The rows as the log has them, one a millisecond from ``at`` on."""
    found = pd.DataFrame({"id": [f"{name}{number}" for number in range(len(frame))]})
    found["time"] = pd.Timestamp(at) + pd.to_timedelta(np.arange(len(frame)), unit="ms")
    found = found.assign(version=3, key="app", kind="live", latency_ms=2.0, status=200)
    found["inputs.age"], found["inputs.city"] = frame["inputs.age"].to_numpy(), frame["inputs.city"].to_numpy()
    found["outputs.label"] = [[int(value)] for value in frame["outputs.prediction"]]
    found["outputs.probabilities"] = [[1 - value, value] for value in frame["outputs.confidence"]]
    return found


def told(rows: pd.DataFrame, truth: Any, at: datetime) -> pd.DataFrame:
    """Labels of these rows, that came at ``at``."""
    return pd.DataFrame({"id": rows["id"].to_numpy(), "time": pd.Timestamp(at), "label": np.asarray(truth)})


NO_LABELS = pd.DataFrame({"id": pd.Series([], dtype=object), "time": pd.to_datetime([], utc=True), "label": pd.Series([], dtype=object)})


class Production:
    """A log in memory, and the looks at it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows, self.labels = folder, [], [NO_LABELS]
        self.subject = look.Subject("credit", 3, True, None, None)

    def expect(self) -> None:
        """Give the model expectations of its own (Great Expectations takes seconds)."""
        path = self.folder / "expectations.yaml"
        path.write_text(LINES)
        self.subject = replace(self.subject, expectations=path)

    def predictions(self, since: datetime | None, until: datetime) -> pd.DataFrame:
        found = pd.concat(self.rows) if self.rows else logged(drawn(np.random.default_rng(0), 0), NOON)
        return found[(found["time"] < pd.Timestamp(until)) & (since is None or found["time"] >= pd.Timestamp(since))].reset_index(drop=True)

    def look(self, known: Reference | str, last: Any, until: datetime) -> tuple[dict[str, Any], Any]:
        log = look.Log(self.predictions, lambda: pd.concat(self.labels), moment)
        found = look.look(self.subject, log, known, last, until, self.folder / "change.html")
        return found, watching.verdict(found)
