"""The task that validates data asks a model's query once, through an Airflow connection, and gives the step its rows."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.kinds.requests import request_of
from include.kinds.table.steps.extract import run as extract
from include.runtime.settings import Settings
from include.steps.context import StepContext
from lifecycle.databases import database
from lifecycle.operators.data import ValidateData

MODEL = "name: shop\ntask: regression\ndata: {source: spent.sql, target: spent, sql: {connection: updraft_data_shop}}\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as made:
        made.execute("CREATE TABLE sales (age INTEGER, spent REAL)")
        made.executemany("INSERT INTO sales VALUES (?, ?)", [(20 + n, n / 4) for n in range(40)])
    monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_DATA_SHOP", f"sqlite:///{tmp_path / 'shop.db'}")
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, content in {
        "spent.sql": "SELECT age, spent FROM sales",
        "train.py": "def train(X, y, p): ...\n",
        "expectations.yaml": "[]\n",
    }.items():
        (folder / name).write_text(content)
    (folder / "model.yaml").write_text(MODEL)
    return folder


def begun(folder: Path, tags: dict[str, Any], **params: Any) -> SimpleNamespace:
    spec = load(folder / "model.yaml")
    settings = Settings(home=folder.parent / "home", runtimes=folder, port_base=1)
    return SimpleNamespace(
        spec=spec, kind=kind_of(spec), params=params, folder=folder, settings=settings, key="a-run", model="shop",
        mlflow=SimpleNamespace(set_tags=lambda run, told: tags.update(told)),
    )  # fmt: skip


def queried(run: SimpleNamespace) -> dict[str, str]:
    task = ValidateData(task_id="validate_data", spec_path="model.yaml")
    task.__dict__["_log"] = logging.getLogger("test")
    return task._queried(run, "mlflow-run")


def test_its_rows_are_the_runs_whatever_becomes_of_the_database(shop: Path, tmp_path: Path) -> None:
    tags: dict[str, Any] = {}
    run = begun(shop, tags)
    given = queried(run)
    assert tags == {"updraft.data.query": "SELECT age, spent FROM sales", "updraft.data.connection": "updraft_data_shop"}
    (tmp_path / "shop.db").unlink()
    (shop / "spent.sql").write_text("SELECT 1 AS one")
    assert queried(run) == given and len(pd.read_parquet(given["queried"])) == 40
    (out := tmp_path / "out").mkdir()
    found = extract(StepContext(request_of(shop / "model.yaml", "extract", **given), out))
    assert found["rows"] == 40 and found["columns"] == {"age": "int64", "spent": "float64"}


def test_a_file_that_the_form_names_is_read_instead(shop: Path) -> None:
    assert queried(begun(shop, {}, data_source="other.csv")) == {}
    (shop / "other.sql").write_text("SELECT 1 AS one")
    assert queried(begun(shop, {}, data_source="other.sql")) == {}, "the spec's query under another's name"
    assert queried(begun(shop, {}, data_source="spent.sql"))


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        (None, "does not exist"),
        ("http://host", "is no database|can't be used"),
        ("oracle://host/x", "'oracle' can't be used"),
    ],
)
def test_a_connection_that_is_no_database_is_named(shop: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None, what: str) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_UPDRAFT_DATA_SHOP")
    if uri:
        monkeypatch.setenv("AIRFLOW_CONN_UPDRAFT_DATA_SHOP", uri)
    with pytest.raises(InputError, match=what) as told:
        database("updraft_data_shop")
    assert told.value.where == "connection updraft_data_shop"


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (", sql: {connection: updraft_data_shop}", "", "sql: is missing"),
        ("spent.sql", "sales.csv", "data.sql: is of no use"),
        ("updraft_data_shop", "airflow_db", "data.sql.connection"),
        ("spent.sql", "gone.sql", "there is no file 'gone.sql'"),
    ],
)
def test_a_spec_that_does_not_say_what_is_asked_is_refused(shop: Path, before: str, after: str, what: str) -> None:
    (shop / "model.yaml").write_text(MODEL.replace(before, after))
    (shop / "sales.csv").write_text("age,spent\n1,2\n")
    with pytest.raises(InputError, match=what):
        load(shop / "model.yaml")
