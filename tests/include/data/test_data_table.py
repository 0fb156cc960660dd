"""Reading and checking a table: each fault is named with its place."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.data.table import check, read, remarks
from include.errors import InputError
from include.kinds.table.table import features
from include.spec.schema import ModelSpec

Csv = Callable[[str | bytes], Path]
Spec = Callable[..., ModelSpec]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty."),
        ("\n\n", "is empty."),
        (b"a,b\n1,2\n1,\xff\n", "table.csv:3: is not UTF-8: byte 0xff at offset 10."),
        ("a,b\n1,2\n1,2,3\n", "table.csv:3: 3 fields where the header has 2."),
        ("a,b\n1,2\n\n1\n", "table.csv:4: 1 fields where the header has 2."),
        ("a,b\n1,'2\n\"x,2\n", "table.csv:3: malformed CSV: unexpected end of data."),
        ("a,b,a\n1,2,3\n", "table.csv:1: the column 'a' is there twice."),
        ("a,,c\n1,2,3\n", "table.csv:1: column 2 has no name."),
    ],
)
def test_a_malformed_csv_is_named_with_its_line(csv: Csv, content: str | bytes, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(csv(content))
    assert expected in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table.csv: can't be read: No such file"):
        read(tmp_path / "table.csv")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(InputError, match=r"is no plain file"):
        read(tmp_path / "table.csv")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.xlsx is no table"):
        read(tmp_path / "table.xlsx")


def test_a_broken_parquet_file_is_named(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="is no readable Parquet file"):
        read(path)


def test_both_formats_give_the_same_table(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "table.csv"), frame)
    pd.testing.assert_frame_equal(read(tmp_path / "table.parquet"), frame)


def test_a_byte_order_mark_is_no_part_of_the_first_name(csv: Csv) -> None:
    assert list(read(csv("\ufeffa,b\n1,2\n")).columns) == ["a", "b"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=100), st.text(alphabet="a1,\"\n\r\x00' ", max_size=60).map(str.encode)))
def test_arbitrary_bytes_give_a_table_or_an_input_error(csv: Csv, content: bytes) -> None:
    try:
        assert isinstance(read(csv(content)), pd.DataFrame)
    except InputError as error:
        assert str(error)


def refusal(frame: pd.DataFrame, spec: ModelSpec) -> str:
    with pytest.raises(InputError) as caught:
        check(frame, spec)
    return str(caught.value)


def test_a_good_table_passes(frame: pd.DataFrame, spec: Spec) -> None:
    check(frame, spec())
    check(frame, spec("regression", target="acid"))
    check(frame.astype({"kind": str}), spec(exclude=("region",), slices=("region",)))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"target": "kin"}, "data.target: the data has no column 'kin'. Did you mean 'kind'?"),
        ({"features": ("acid", "suger")}, "data.features: the data has no column 'suger'. Did you mean 'sugar'?"),
        ({"group": "grower"}, "data.group: the data has no column 'grower'."),
        ({"exclude": ("year",)}, "data.exclude: the data has no column 'year'."),
        ({"slices": ("year",)}, "gate.slices: the data has no column 'year'."),
    ],
)
def test_a_missing_column_is_named_with_the_field_that_asks_for_it(
    frame: pd.DataFrame, spec: Spec, data: dict[str, object], field: str
) -> None:
    assert refusal(frame, spec(**data)).startswith(field)


def test_a_table_of_nothing_but_the_target_is_refused(frame: pd.DataFrame, spec: Spec) -> None:
    assert "no column is left" in refusal(frame[["kind"]], spec())


@pytest.mark.parametrize(("rows", "expected"), [(0, "a header and no rows"), (1, "1 row(s) are too few"), (9, "9 row(s) are too few")])
def test_too_few_rows_are_refused(frame: pd.DataFrame, spec: Spec, rows: int, expected: str) -> None:
    assert expected in refusal(frame[:rows], spec())


def test_names_that_are_no_text_are_refused(spec: Spec) -> None:
    assert "the column name 0 is no text." in refusal(pd.DataFrame(np.zeros((20, 3))), spec())


def test_two_columns_of_one_name_are_refused(frame: pd.DataFrame, spec: Spec) -> None:
    assert "the column 'acid' is there twice." in refusal(pd.concat([frame, frame[["acid"]]], axis=1), spec())


def test_a_missing_target_is_counted_and_its_first_rows_named(frame: pd.DataFrame, spec: Spec) -> None:
    frame["kind"] = frame["kind"].astype(float)
    frame.loc[[3, 5], "kind"] = np.nan
    assert "target 'kind': is missing in 2 row(s), first 4, 6." in refusal(frame, spec())


@pytest.mark.parametrize(("task", "expected"), [("classification", "only one class, '1'"), ("regression", "only one value, '1'")])
def test_a_constant_target_is_refused(frame: pd.DataFrame, spec: Spec, task: str, expected: str) -> None:
    assert expected in refusal(frame.assign(kind=1), spec(task))


def test_a_regression_on_texts_is_refused_with_the_first(frame: pd.DataFrame, spec: Spec) -> None:
    kind = [str(n) for n in range(20)]
    kind[6] = "n/a"
    assert "holds 'n/a', no number (1 row(s), first 7)." in refusal(frame.assign(kind=kind), spec("regression"))


def test_a_classification_of_fractions_is_refused(frame: pd.DataFrame, spec: Spec) -> None:
    text = refusal(frame, spec(target="acid"))
    assert "holds 0.25, no class" in text and "`task: regression`" in text


def test_whole_numbers_kept_as_floats_are_classes(frame: pd.DataFrame, spec: Spec) -> None:
    check(frame.astype({"kind": float}), spec())


def test_infinite_values_are_refused_in_features_and_target(frame: pd.DataFrame, spec: Spec) -> None:
    frame.loc[2, "acid"] = np.inf
    assert "column 'acid': holds infinite values (1 row(s), first 3)." in refusal(frame, spec())
    assert "target 'acid': holds infinite values" in refusal(frame, spec("regression", target="acid"))


def test_a_column_that_mixes_types_is_refused(frame: pd.DataFrame, spec: Spec) -> None:
    mixed: list[object] = ["x"] * 19 + [5]
    assert "column 'region': mixes types: int, str." in refusal(frame.assign(region=mixed), spec())


def test_a_stray_text_among_numbers_is_named_with_its_row(frame: pd.DataFrame, spec: Spec) -> None:
    sugar = [str(n) for n in range(20)]
    sugar[8] = "unknown"
    assert "column 'sugar': holds texts among numbers: 'unknown' (1 row(s), first 9)." in refusal(frame.assign(sugar=sugar), spec())


def test_dates_are_refused_as_features_and_allowed_when_excluded(frame: pd.DataFrame, spec: Spec) -> None:
    dated = frame.assign(day=pd.Timestamp("2026-01-01"))
    assert "column 'day': holds values of the kind datetime64" in refusal(dated, spec())
    check(dated, spec(exclude=("day",)))


def test_missing_features_are_no_fault(frame: pd.DataFrame, spec: Spec) -> None:
    frame.loc[3, "acid"] = np.nan
    frame.loc[4, "region"] = None
    check(frame, spec())


def test_the_column_of_a_table_s_index_is_no_feature_unless_it_is_named(frame: pd.DataFrame, spec: Spec) -> None:
    numbered = frame.assign(**{"Unnamed: 0": range(len(frame))})
    with pytest.raises(InputError, match=r"column 'Unnamed: 0': was a column without a name, .*`data.exclude`"):
        check(numbered, spec())
    check(numbered, spec(exclude=["Unnamed: 0"]))
    check(numbered, spec(features=["Unnamed: 0"]))


@pytest.mark.parametrize("other", ["yes ", "\u200byes", " yes"])
def test_classes_that_look_alike_are_refused(frame: pd.DataFrame, spec: Spec, other: str) -> None:
    classes = ["yes", "no", other] * len(frame)
    with pytest.raises(InputError, match=r"target 'kind': holds the classes 'yes' and .*Write each class in one way"):
        check(frame.assign(kind=classes[: len(frame)]), spec())


def test_texts_that_a_reader_takes_for_one_are_said(frame: pd.DataFrame, spec: Spec) -> None:
    texts = ["Bern", "bern ", "Basel", "x"] * len(frame)
    said = remarks(frame.assign(city=texts[: len(frame)]), spec())
    assert said == ["column 'city': 'Bern' and 'bern ' differ in blanks and the case of letters only, and are categories of their own."]
    assert remarks(frame, spec()) == []
    blank = frame.assign(city=["a", " ", "", "\u200b"] * 5)
    assert "column 'city': 10 row(s), first 2, 4, 6, 8, 10, hold nothing that can be seen" in remarks(blank, spec())[0]


def test_an_index_with_a_name_is_said_to_be_no_column(frame: pd.DataFrame, spec: Spec) -> None:
    """pandas keeps it beside the columns of a Parquet file, and everybody takes it for one."""
    [said] = remarks(frame.set_index(pd.RangeIndex(len(frame), name="customer")), spec())
    assert said.startswith("the table's index 'customer' is no column") and "reset_index()" in said


def test_missing_texts_of_pandas_own_type_are_empty_texts(frame: pd.DataFrame, spec: Spec, tmp_path: Path) -> None:
    """A Parquet file that `convert_dtypes()` was called for."""
    texts = pd.array(["x" if row % 2 else None for row in range(len(frame))], dtype="string")
    frame.assign(city=texts).to_parquet(tmp_path / "t.parquet")
    made = read(tmp_path / "t.parquet")
    check(made, spec())
    assert features(made, ["city"])["city"].tolist()[:2] == ["", "x"]


def test_whole_numbers_beside_missing_ones_stay_different_when_floats_would_merge_them(tmp_path: Path, spec: Spec) -> None:
    ids: list[int | None] = [*range(2**53, 2**53 + 19), None]
    small: list[int | None] = [*range(19), None]
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "n": pa.array(small, pa.int64()), "y": [0, 1] * 10}), path)
    frame = read(path)
    assert frame["id"].dropna().tolist() == ids[:-1] and pd.isna(frame["id"].iloc[-1])
    assert frame["n"].dtype == float  # as floats hold them
    with pytest.raises(InputError, match=r"column 'id': holds numbers that no served type keeps apart"):
        check(frame, spec(target="y", task="classification"))
