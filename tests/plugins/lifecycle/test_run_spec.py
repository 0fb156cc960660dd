"""A run keeps its spec: what model.yaml said when its first task ran, with the run's params put in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.errors import InputError
from include.kinds.frozen import freeze, thaw
from include.kinds.load import find, load
from include.runtime.settings import REPO
from lifecycle import run as runs
from lifecycle.operators.optimize import Train
from lifecycle.run import Run

MODEL = "name: thing\ntask: regression\ndata: {source: rows.csv, target: y}\ntrain: {params: {c: 1.0}}\ncanary: {step_s: STEP}\n"


class Api:
    """The plugin's table of specs: the first that is given stays."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, path: str, params: dict[str, str], missing_ok: bool) -> Any:
        assert path == "/lifecycle/v1/spec" and missing_ok
        return self.kept.get(params["run_key"])

    def call(self, method: str, path: str, json: dict[str, Any]) -> Any:
        return self.kept.setdefault(json["run_key"], json)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    api = Api()
    monkeypatch.setattr(runs, "airflow_api", lambda: api)
    folder = tmp_path / "thing"
    folder.mkdir()
    for name, text in {"rows.csv": "y\n1\n", "train.py": "def train(X, y, params): ...\n", "expectations.yaml": "[]\n"}.items():
        (folder / name).write_text(text)
    (folder / "model.yaml").write_text(MODEL.replace("STEP", "60"))
    return folder / "model.yaml"


def begun(model: Path, run_id: str = "r", **params: Any) -> Run:
    return Run.of({"dag_run": SimpleNamespace(dag_id="thing_lifecycle", run_id=run_id), "params": {"c": 1.0, **params}}, str(model))


def test_a_change_of_the_file_changes_no_run_that_has_begun(model: Path):
    first = begun(model, canary_steps=[20])
    model.write_text(MODEL.replace("STEP", "120"))
    later, another = begun(model, canary_steps=[20]), begun(model, "another")
    assert later.spec == first.spec and later.spec.canary.step_s == 60 and later.spec.canary.steps == (20,)
    assert another.spec.canary.step_s == 120
    request = Train(task_id="train", spec_path=str(model))._request(later, {})
    assert request.spec["canary"]["step_s"] == 60 and request.step == "table.train"
    assert request == Train(task_id="train", spec_path=str(model))._request(first, {})


def test_a_file_that_breaks_during_a_run_breaks_no_task_of_it(model: Path):
    begun(model)
    model.write_text("name: thing\n")
    assert begun(model).spec.canary.step_s == 60
    with pytest.raises(InputError):
        begun(model, "another")


def test_wrong_params_bind_no_run(model: Path):
    with pytest.raises(InputError, match="canary_stesp"):
        begun(model, canary_stesp=[20])
    assert begun(model).spec.canary.step_s == 60


@pytest.mark.parametrize("path", find(REPO / "include" / "models"), ids=lambda path: path.parent.name)
def test_a_spec_comes_back_as_it_was(path: Path):
    spec = load(path)
    assert thaw(json.loads(json.dumps(freeze(spec)))) == spec


def test_a_spec_that_another_version_kept_is_refused_in_a_sentence(model: Path):
    with pytest.raises(InputError, match="Start a new run"):
        thaw({"kind": "image"})
    with pytest.raises(InputError, match=r"the run's kept spec: canary\.color"):
        thaw(freeze(load(model)) | {"canary": {"color": "yellow"}})
