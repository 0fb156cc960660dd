"""``python -m include.data restore``: from a run, known to a real MLflow server, to the bytes it was trained on."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.data.__main__ import main
from include.data.snapshot import snapshot
from include.data.store import DataStore
from include.runtime.settings import Settings
from tests.mlflow_server import mlflow_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def home(tmp_path: Path, mlflow: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    monkeypatch.delenv("UPDRAFT_DVC_REMOTE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new_run(mlflow: str, **tags: str) -> str:
    rows = [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()]
    body: dict[str, Any] = {"experiment_id": "0", "start_time": 1, "tags": rows}
    request = urllib.request.Request(
        f"{mlflow}/api/2.0/mlflow/runs/create", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.loads(answer.read())["run"]["info"]["run_id"])


@pytest.fixture
def snapshotted(home: Path) -> str:
    (home / "table.csv").write_text("a,b\n1,2\n")
    return snapshot(home / "table.csv", DataStore.of(Settings.load()), name="wine").md5


def test_the_data_of_an_mlflow_run_comes_back_under_its_name(home: Path, mlflow: str, snapshotted: str) -> None:
    run = new_run(mlflow, updraft__data__md5=snapshotted, updraft__data__name="wine.csv")
    assert main(["restore", "--run", run]) == 0
    assert (home / "home" / "restored" / run / "wine.csv").read_text() == "a,b\n1,2\n"
    assert not (home / "wine.csv").exists(), "nothing is written where one happens to stand"
    assert main(["restore", "--run", run, "--out", str(home)]) == 0
    assert (home / "wine.csv").read_text() == "a,b\n1,2\n", "a folder takes it under its name"


def test_what_lies_there_already_is_kept(home: Path, mlflow: str, snapshotted: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(mlflow, updraft__data__md5=snapshotted, updraft__data__name="wine.csv")
    (home / "mine.csv").write_text("mine")
    assert main(["restore", "--run", run, "--out", str(home / "mine.csv")]) == 1
    assert (home / "mine.csv").read_text() == "mine" and "mine.csv: is there already" in capsys.readouterr().err
    (home / "mine.csv").write_text("a,b\n1,2\n")
    assert main(["restore", "--run", run, "--out", str(home / "mine.csv")]) == 0, "the same bytes are no reason to refuse"


@pytest.mark.parametrize("named", ["wine_lifecycle/manual__2026-11-21T00:00:00+00:00", "manual__2026-11-21T00:00:00+00:00"])
def test_an_airflow_run_id_will_do(home: Path, mlflow: str, snapshotted: str, named: str) -> None:
    new_run(mlflow, updraft__data__md5=snapshotted, updraft__run_key="wine_lifecycle/manual__2026-11-21T00:00:00+00:00")
    assert main(["restore", "--run", named, "--out", str(home / "new" / "out.csv")]) == 0
    assert (home / "new" / "out.csv").read_text() == "a,b\n1,2\n"


def test_an_id_that_fits_two_runs_is_refused(home: Path, mlflow: str, snapshotted: str, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("beer", "cider"):
        new_run(mlflow, updraft__data__md5=snapshotted, updraft__run_key=f"{model}_lifecycle/twice")
    assert main(["restore", "--run", "twice"]) == 1
    assert "run twice: fits several runs: beer_lifecycle/twice, cider_lifecycle/twice." in capsys.readouterr().err


@pytest.mark.parametrize("run", ["0" * 32, "no_such_run", "%", "a' OR '1'='1"])
def test_a_run_that_is_not_known_is_named(home: Path, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "--run", run]) == 1
    assert run in capsys.readouterr().err


def test_a_run_without_a_snapshot_is_named(home: Path, mlflow: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(mlflow)
    assert main(["restore", "--run", run]) == 1
    assert f"run {run}: has no tag updraft.data.md5." in capsys.readouterr().err
