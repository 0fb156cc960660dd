"""A metric of the model's own: a figure a row, with all that the task's metrics have."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.gates.evaluation import Champion
from include.kinds.load import load
from include.kinds.rows.answers import Answers
from include.kinds.rows.evaluation import evaluate
from include.kinds.rows.rows import Rows
from include.spec.problem import SpecError

SPEC = """
name: thing
task: classification
data: {source: rows.csv, target: y}
train: {entry: "train:train"}
gate: {metric: "scoring:saved", min_score: 0.5, slices: [plan]}
"""
FIGURES = """
def saved(rows, answers):
    # A customer who is kept is worth what he pays; one called for nothing costs a call.
    called = answers["answer"] == "goes"
    return (called & (rows["y"] == "goes")) * rows["pays"] - called * 1.0
"""


@pytest.fixture(autouse=True)
def _forget() -> Any:
    sys.modules.pop("scoring", None)
    yield
    sys.modules.pop("scoring", None)


def model(folder: Path, figures: str = FIGURES, spec: str = SPEC) -> Any:
    folder = folder / "thing"
    folder.mkdir()
    (folder / "scoring.py").write_text(textwrap.dedent(figures))
    (folder / "train.py").write_text("def train(x, y, params): ...\n")
    (folder / "expectations.yaml").write_text("- expect_table_row_count_to_be_between: {min_value: 1}\n")
    (folder / "rows.csv").write_text("pays,plan,y\n1,a,goes\n")
    (folder / "model.yaml").write_text(spec)
    return load(folder / "model.yaml")


def rows(count: int = 200) -> Rows:
    chance = np.random.default_rng(0)
    table = pd.DataFrame({"pays": chance.integers(2, 40, count), "plan": np.where(np.arange(count) % 2, "a", "b")})
    table["y"] = np.where(chance.random(count) < 0.5, "goes", "stays")
    return Rows(table[["pays", "plan"]], table["y"].astype(object), table)


def said(values: Any) -> Answers:
    return Answers(np.asarray(values, dtype=object), None, ("goes", "stays"))


def test_the_score_is_the_mean_of_the_rows_figures_and_the_champion_is_compared_by_it(tmp_path: Path) -> None:
    spec, test = model(tmp_path), rows()
    right = test.y == "goes"
    # Both are right equally often; the challenger where it pays.
    cheap = test.table["pays"] < 21
    ours, theirs = (said(np.where(right & miss, "stays", test.y)) for miss in (cheap, ~cheap))
    found = evaluate(spec, test, test, ours, Champion("1"), theirs, folder=tmp_path / "thing")
    expected = ((test.table["pays"] - 1) * (right & ~cheap)).mean()
    score = found.scores["scoring:saved"]
    assert found.metric == "scoring:saved" and score.value == pytest.approx(expected)
    assert score.low is not None and score.low < score.value < score.high  # type: ignore[operator]
    assert found.champion and found.champion.comparison and found.champion.comparison.metric == "scoring:saved"
    assert found.champion.comparison.low > 0  # type: ignore[operator]
    assert [part.champion.value < part.score.value for part in found.slices if part.champion] == [True, True]  # type: ignore[operator]
    assert found.scores["accuracy"].value == pytest.approx(1 - (right & cheap).mean())


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ("def saved(rows, answers): return [1.0]", "gives 1 figures for 200 rows"),
        ("def saved(rows, answers): return rows['plan']", "gives no numbers"),
        ("def saved(rows, answers): return rows['pays'] / (rows.index != 3)", "gives NaN or infinity for 1 of 200 rows, first 4"),
        ("def saved(rows, answers): return rows['paid']", "raised KeyError"),
    ],
)
def test_a_function_that_gives_no_figure_for_a_row_is_told_so(tmp_path: Path, figures: str, why: str) -> None:
    test = rows()
    with pytest.raises(InputError, match=why):
        evaluate(model(tmp_path, figures), test, test, said(test.y), None, None, folder=tmp_path / "thing")


def test_rows_that_the_function_changes_stay_as_they_are(tmp_path: Path) -> None:
    test = rows()
    evaluate(
        model(tmp_path, "def saved(rows, answers):\n    rows['y'] = 'goes'\n    return rows['pays']"),
        test,
        test,
        said(test.y),
        None,
        None,
        folder=tmp_path / "thing",
    )
    assert set(test.table["y"]) == {"goes", "stays"}


@pytest.mark.parametrize(
    ("figures", "spec", "why"),
    [
        ("def other(rows, answers): ...", SPEC, "defines no function `saved`"),
        ("def saved(rows): ...", SPEC, "saved"),
        (FIGURES, SPEC.replace("scoring:saved", "scorn:saved"), "there is no scorn.py"),
        (FIGURES, SPEC.replace("scoring:saved", "accurracy"), "is no metric of classification"),
    ],
)
def test_what_the_spec_names_must_be_there(tmp_path: Path, figures: str, spec: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        model(tmp_path, figures, spec)
