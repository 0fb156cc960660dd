from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.table.table import feature_columns, features, split_rows
from include.spec.schema import ModelSpec
from tests.include.steps import samples


def spec(task: str = "classification", **data: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "task": task, "data": {"source": "a:b", "target": "y"} | data})


def saved(table: pd.DataFrame, tmp_path: Path) -> Path:
    table.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_every_row_is_on_one_side_with_all_its_columns(tmp_path: Path) -> None:
    train, test = split_rows(saved(samples.animals(), tmp_path), spec(exclude=["region"]))
    assert len(train) + len(test) == 400
    assert list(test.x.columns) == ["colour", "size", "count"] and "region" in test.table.columns
    assert list(test.x.index) == list(range(len(test)))


def test_numbers_alone_are_float64_that_a_float32_holds() -> None:
    x = features(pd.DataFrame({"a": [1, 2], "b": [0.1, 0.2], "c": [True, False]}), ["a", "b", "c"])
    assert set(map(str, x.dtypes)) == {"float64"}
    assert (x.to_numpy() == x.to_numpy().astype("float32")).all()


def test_text_beside_numbers_keeps_each_its_type_and_has_no_null() -> None:
    x = features(pd.DataFrame({"t": ["a", None], "n": [1, 2], "f": [0.5, np.nan]}), ["t", "n", "f"])
    assert [str(kind) for kind in x.dtypes] == ["object", "int64", "float64"] and list(x.t) == ["a", ""]


def test_the_target_the_group_and_the_excluded_are_no_features() -> None:
    assert feature_columns(spec(group="g", exclude=["e"]).data, ["y", "g", "e", "b", "a"]) == ["b", "a"]
    assert feature_columns(spec(features=["a", "b"]).data, ["y", "g", "b", "a"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "kind"), [([True, False], "int64"), ([1.0, 2.0], "int64"), (["a", "b"], "object"), (pd.Categorical(["a", "b"]), "object")]
)
def test_labels_are_whole_numbers_or_text(tmp_path: Path, values: object, kind: str) -> None:
    table = pd.DataFrame({"a": range(40), "y": list(values) * 20})
    train, _ = split_rows(saved(table, tmp_path), spec())
    assert str(train.y.dtype) == kind


@pytest.mark.parametrize(
    ("table", "task", "said"),
    [
        (pd.DataFrame({"a": range(40), "y": [0.5, 1.0] * 20}), "classification", "fractions"),
        (pd.DataFrame({"a": range(40), "y": [None, 1.0] * 20}), "regression", "is missing in"),
        (pd.DataFrame({"a": range(40), "y": ["x", "z"] * 20}), "regression", "not a finite number"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2026-01-01"] * 40) + pd.to_timedelta(range(40), "D"), "y": [0, 1] * 20}),
            "classification",
            "datetime64",
        ),
        (pd.DataFrame({"a": [1] * 40, "y": [1] * 40}), "classification", "among 40 rows"),
        (pd.DataFrame({"a": range(40), "z": 1}), "classification", "no column 'y'"),
        (pd.DataFrame({"y": range(40)}), "classification", "no column is left"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(tmp_path: Path, table: pd.DataFrame, task: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        split_rows(saved(table, tmp_path), spec(task))
