"""Rows of production in what a model learns from: in the source's types, and the newest ones standing for what callers send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.data.origin import FEWEST_LIVE, ORIGIN, PRODUCTION, SOURCE, like_live
from include.data.table import check
from include.data.validate import validate
from include.errors import InputError
from include.gates.evaluation import Champion
from include.kinds.load import load
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import evaluate, reference
from include.kinds.rows.rows import Rows
from include.kinds.rows.split import sides
from include.kinds.table.production import added
from include.monitoring.labelled import labelled
from include.spec.problem import SpecError
from include.spec.schema import ModelSpec
from include.verdict import Decision

SPEC = "name: wine\ntask: classification\ndata: {source: data.csv, target: kind, exclude: [note], production: {days: 7}}\n"
FORM = {"name": "w", "task": "classification", "data": {"source": "x.csv", "target": "y"}}
LOGGED = "monitor: {log: {share: 1}}\n"
SOURCE_ROWS = pd.DataFrame({"a": [0.5, 1.5] * 10, "n": [1, 2] * 10, "t": ["x", "y"] * 10, "kind": [0, 1] * 10, "note": ["old"] * 20})


def spec(tmp_path: Path, text: str = SPEC + LOGGED) -> ModelSpec:
    folder = tmp_path / "wine"
    folder.mkdir(exist_ok=True)
    (folder / "model.yaml").write_text(text)
    (folder / "train.py").write_text("def train(X, y, params): ...\n")
    (folder / "expectations.yaml").touch()
    SOURCE_ROWS.to_csv(folder / "data.csv", index=False)
    found = load(folder / "model.yaml")
    assert isinstance(found, ModelSpec)
    return found


def row(a: Any, n: Any, t: Any, label: Any) -> dict[str, Any]:
    return {"time": pd.Timestamp("2026-11-30", tz="UTC"), "inputs.a": a, "inputs.n": n, "inputs.t": t, "label": json.dumps(label)}


def test_rows_of_production_stand_below_the_sources_in_its_types(tmp_path: Path):
    both, notes = added(SOURCE_ROWS, pd.DataFrame([row(2.5, 3.0, "z", 1), row(3.5, 4, "x", 0)]), spec(tmp_path))
    live = both[both[ORIGIN] == PRODUCTION]
    assert live[["a", "n", "t", "kind"]].to_numpy().tolist() == [[2.5, 3, "z", 1], [3.5, 4, "x", 0]]
    assert live["note"].isna().all() and (both[ORIGIN] == SOURCE).sum() == 20
    assert notes == ["2 labelled rows of production, of 7 days, are learnt from beside 20 of the source."]


@pytest.mark.parametrize(
    "wrong",
    [
        row("1", 3, "z", 1),
        row(2.5, 3.5, "z", 1),
        row(float("inf"), 3, "z", 1),
        row(2.5, 1e30, "z", 1),
        row(2.5, 2.0**53, "z", 1),
        row(2.5, 2**63, "z", 1),
        row(2.5, float("nan"), "z", 1),
        row(1, 2, 3, 1),
        row(1, 2, "z", "one"),
        row(None, 1, "z", 1),
    ],
)
def test_a_row_of_other_types_is_left_out_and_said(tmp_path: Path, wrong: dict[str, Any]):
    both, notes = added(SOURCE_ROWS, pd.DataFrame([row(2.5, 3, "z", 1), wrong]).astype(object), spec(tmp_path))
    assert (both[ORIGIN] == PRODUCTION).sum() == 1 and notes[1].startswith("1 others")


def test_whole_numbers_keep_every_digit(tmp_path: Path):
    both, _ = added(SOURCE_ROWS, pd.DataFrame([row(2.5, 2**53 + 1, "z", 1)]), spec(tmp_path))
    assert both.loc[both[ORIGIN] == PRODUCTION, "n"].tolist() == [2**53 + 1]


def test_a_log_without_a_feature_or_without_rows_adds_nothing(tmp_path: Path):
    without = pd.DataFrame([row(1, 2, "z", 1)]).drop(columns="inputs.t")
    both, notes = added(SOURCE_ROWS, without, spec(tmp_path))
    assert len(both) == 20 and "No row of production has t" in notes[1]
    assert len(added(SOURCE_ROWS, without.head(0), spec(tmp_path))[0]) == 20


def test_from_so_many_rows_on_they_are_learnt_from_alone(tmp_path: Path):
    rows = pd.DataFrame([row(number, 3, "z", number % 2) for number in range(10)])
    form = spec(tmp_path, SPEC.replace("days: 7", "days: 7, replace_source_at: 10") + LOGGED)
    both, notes = added(SOURCE_ROWS, rows, form)
    assert (
        set(both[ORIGIN]) == {PRODUCTION} and both["note"].isna().all() and both["n"].dtype == "Int64" and "without the source" in notes[0]
    )
    assert len(added(SOURCE_ROWS, rows.head(9), form)[0]) == 29
    both.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "e.yaml").write_text('- expect_column_values_to_not_be_null: {columns: "*"}\n')
    assert validate(tmp_path / "table.parquet", tmp_path / "e.yaml", tmp_path / "docs", name="wine").decision is Decision.PASS


def test_the_one_wide_input_is_taken_apart():
    table = pd.DataFrame({"a": [1.0], "b": [2.0], "kind": [0]})
    form = ModelSpec.model_validate_json(json.dumps(FORM | {"data": {"source": "x.csv", "target": "kind"}}))
    rows = pd.DataFrame({"time": [0, 1], "inputs.input": [[5.0, 6.0], [5.0]], "label": ["0", "0"]})
    both, _ = added(table, rows, form)
    assert both.loc[both[ORIGIN] == PRODUCTION, ["a", "b"]].to_numpy().tolist() == [[5.0, 6.0]]


def test_the_platforms_own_column_is_refused_in_a_source_and_may_be_a_slice(tmp_path: Path):
    form = spec(tmp_path, SPEC + LOGGED + f"gate: {{slices: [{ORIGIN}]}}\n")
    check(SOURCE_ROWS, form)
    theirs = SOURCE_ROWS.assign(**{ORIGIN: "shop"})
    with pytest.raises(InputError, match=r"updraft_origin is the platform's own column\. Rename it in the data source\."):
        check(theirs, form)
    check(theirs, form, with_production=True)


def test_a_rows_side_is_the_same_with_and_without_its_origin(tmp_path: Path):
    form = spec(tmp_path)
    table = SOURCE_ROWS.assign(a=range(20))
    assert (sides(table, form.data).test == sides(table.assign(**{ORIGIN: SOURCE}), form.data).test).all()


def test_a_join_takes_what_was_answered_live_and_labelled_the_newest():
    log = pd.DataFrame(
        {"id": list("abcd"), "time": [3, 1, 2, 4], "status": [200, 200, 200, 500], "kind": ["live", "live", "mirror", "live"]}
    )
    log["inputs.a"] = [1, 2, 3, 4]
    labels = pd.DataFrame({"id": ["a", "b", "c", "d", "a"], "label": [0, 1, 0, 0, 5]})
    assert labelled(log, labels, 10)[["time", "label"]].to_numpy().tolist() == [[1, "1"], [3, "5"]]
    assert labelled(log, labels, 1)["label"].tolist() == ["5"] and labelled(log.head(0), labels, 1).empty


def test_the_newer_half_of_production_stands_for_what_callers_send():
    def marked(live: int) -> list[int]:
        table = pd.DataFrame({ORIGIN: [SOURCE] * 50 + [PRODUCTION] * live})
        return np.flatnonzero(like_live(table)).tolist()

    assert marked(2 * FEWEST_LIVE) == list(range(50 + FEWEST_LIVE, 50 + 2 * FEWEST_LIVE))
    assert len(marked(2 * FEWEST_LIVE - 2)) == 50 + 2 * FEWEST_LIVE - 2
    assert like_live(SOURCE_ROWS).all()


def test_expectations_of_columns_that_callers_dont_send_hold_for_the_source_alone(tmp_path: Path):
    both, _ = added(SOURCE_ROWS, pd.DataFrame([row(2.5, 3, "z", 1)]), spec(tmp_path))
    both.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "e.yaml").write_text(
        '- expect_column_values_to_not_be_null: {columns: "*"}\n- expect_column_values_to_be_between: {column: a, max_value: 2}\n'
    )
    found = validate(tmp_path / "table.parquet", tmp_path / "e.yaml", tmp_path / "docs", name="wine")
    assert [(rule.passed, rule.figure) for rule in found.rules] == [(True, "6 columns, all rows"), (False, "1 of 21 rows")]
    assert found.decision is Decision.FAIL


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SPEC, "nothing is logged"),
        (SPEC + "monitor: {log: {share: 1, redact: [a]}}\n", "hides 'a'"),
        ((SPEC + LOGGED).replace("exclude", "group: note, exclude"), "callers send no 'note'"),
    ],
)
def test_what_can_not_be_learnt_from_is_said_before_any_run(tmp_path: Path, text: str, why: str):
    with pytest.raises(SpecError, match=why):
        spec(tmp_path, text)


def test_what_the_versions_differ_by_and_what_production_is_compared_with_are_of_callers_rows():
    """On the source both versions agree, on what callers send today the champion is always wrong."""
    live = 2 * FEWEST_LIVE
    table = pd.DataFrame({"x": range(50 + live), "y": [0] * 50 + [1] * live, ORIGIN: [SOURCE] * 50 + [PRODUCTION] * live})
    rows, form = Rows(table[["x"]], table["y"], table), ModelSpec.model_validate_json(json.dumps(FORM))
    ours, theirs = (Answers(np.array(values), None, (0, 1)) for values in (table["y"], [0] * (50 + live)))
    found = evaluate(form, rows, rows, ours, Champion("1"), theirs, folder=Path()).champion
    assert found is not None and found.disagreement is not None
    assert (found.disagreement.rows, found.disagreement.differ) == (FEWEST_LIVE, FEWEST_LIVE)
    assert reference(rows, ours)["truth"].tolist() == [1] * FEWEST_LIVE
