"""Rows of tensor models that nothing can be learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.tensor.spec import TensorSpec
from include.kinds.tensor.table import check, split_rows

ROWS = 200


def spec(task: str, **data: Any) -> TensorSpec:
    said = {"name": "m", "kind": "tensor", "task": task, "data": {"source": "a:b", "target": "y"} | data}
    return TensorSpec.model_validate(said)


def table(y: Any, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).normal(size=len(y)), "y": y, **more})


@pytest.mark.parametrize(
    ("task", "y", "says"),
    [
        ("classification", ["no"] * ROWS, "holds only 'no'"),
        ("regression", [1.5] * ROWS, "holds only '1.5'"),
        ("multilabel", [["late"]] * ROWS, "holds only 'late'"),
        ("multilabel", [""] * ROWS, "holds only ''"),
        ("multilabel", [7] * ROWS, "row 1: 7 is int, and no list of labels"),
        ("classification", [None, *["no"] * (ROWS - 1)], "is missing in 1 row"),
    ],
    ids=["one class", "one number", "one set of labels", "no labels", "no list", "missing"],
)
def test_a_target_that_says_nothing_is_named(task: str, y: list[Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check(table(y), spec(task))


@pytest.mark.parametrize(("task", "rare", "usual"), [("classification", "rare", "usual"), ("multilabel", ["rare", "usual"], ["usual"])])
def test_a_class_that_only_held_out_rows_have_can_not_be_learnt(tmp_path: Path, task: str, rare: Any, usual: Any) -> None:
    day = pd.date_range("2026-01-01", periods=ROWS)
    late = [rare if row >= ROWS - 5 else usual if row % 2 or task == "multilabel" else "other" for row in range(ROWS)]
    table(late, day=day).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no training row is of the class rare"):
        split_rows(tmp_path / "t.parquet", spec(task, time="day", exclude=["day"]))
