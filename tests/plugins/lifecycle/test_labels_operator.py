"""The task labels: a file beside the model is told whole, once, and nothing of one that is wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.errors import InputError
from include.runtime.airflow_api import Refused
from lifecycle.operators.labels import Labels


class Airflow:
    """The feedback's answers: ids in ``wrong`` are refused by their line."""

    def __init__(self, wrong: set[str]) -> None:
        self.wrong, self.kept = wrong, list[str]()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, int]:
        assert path == "/lifecycle/v1/models/credit/feedback" and body["unlogged"] == "skip"
        ids = [row["id"] for row in body["labels"]]
        if faults := [{"line": line, "id": one, "fault": "is odd."} for line, one in enumerate(ids, 1) if one in self.wrong]:
            raise Refused("wrong", 422, "wrong", {"faults": faults}, where=path)
        self.kept += [] if body["check"] else ids
        return {"new": len(ids), "corrected": 0, "same": 0, "unlogged": 0}


def run(folder: Path, labels: str, wrong: set[str]) -> Any:
    monitor = SimpleNamespace(labels=labels)
    settings = SimpleNamespace(data_roots={})
    return SimpleNamespace(model="credit", folder=folder, api=Airflow(wrong), settings=settings, spec=SimpleNamespace(monitor=monitor))


@pytest.fixture
def task() -> Labels:
    return Labels(task_id="labels", spec_path="model.yaml")


def test_a_file_beside_the_model_is_told(task: Labels, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,label\na,1\nb,0\n")
    asked = run(tmp_path, "labels.csv", set())
    assert task.run(asked, {}) == {"new": 2, "corrected": 0, "same": 0, "unlogged": 0} and asked.api.kept == ["a", "b"]


def test_of_a_file_with_a_wrong_label_none_is_kept_and_the_line_is_named(task: Labels, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,label\na,1\nb,0\n")
    asked = run(tmp_path, "labels.csv", {"b"})
    with pytest.raises(InputError, match="line 3: b is odd"):
        task.run(asked, {})
    assert asked.api.kept == []


def test_a_file_that_is_not_there_yet_is_no_failure_and_one_elsewhere_is_refused(task: Labels, tmp_path: Path) -> None:
    assert task.run(run(tmp_path, "labels.csv", set()), {}) == {}
    with pytest.raises(InputError, match="none of the folders"):
        task.run(run(tmp_path, "/etc/passwd.csv", set()), {})
