"""How a CSV is read: what is missing, what is a number, and what is said when neither is plain."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from include.data.table import check, content, parse, read
from include.errors import InputError
from include.spec.schema import Csv, ModelSpec

File = Callable[[str | bytes], Path]
Spec = Callable[..., ModelSpec]


def column(values: list[str], **options: object) -> tuple[pd.Series, list[str]]:
    raw = "\n".join(["a;b", *(f"{value};x" for value in values)]).encode()
    frame, notes = parse(Path("t.csv"), raw, Csv.model_validate({"separator": ";"} | options))
    return frame["a"], notes


def test_only_the_empty_field_is_missing_in_a_column_of_texts() -> None:
    values, notes = column(["NA", "DE", "None", "", "null"])
    assert [None if value is None else str(value) for value in values] == ["NA", "DE", "None", None, "null"]
    assert "'NA' (1)" in notes[0] and "data.csv.missing" in notes[0]
    values, _ = column(["NA", "DE"], missing=["NA"])
    assert values.isna().tolist() == [True, False]


def test_among_numbers_na_is_missing_and_that_is_said() -> None:
    values, notes = column(["1.5", "NA", "", "2"])
    assert values.dtype.kind == "f" and values.isna().tolist() == [False, True, True, False]
    assert "'NA' (1) among numbers" in notes[0]


def test_one_empty_cell_leaves_truth_values_what_they_are() -> None:
    values, notes = column(["True", "", "False"])
    assert str(values.dtype) == "boolean" and values.isna().sum() == 1 and "truth values, 1 of them missing" in notes[0]


def test_leading_zeros_are_kept() -> None:
    values, notes = column(["01234", "10115"])
    assert list(values) == ["01234", "10115"] and "leading zeros (01234)" in notes[0]


@pytest.mark.parametrize(
    ("written", "options", "expected"),
    [
        ("1,234.50", {"thousands": ","}, 1234.5),
        ("1.234,50", {"thousands": ".", "decimal": ","}, 1234.5),
        ("0,5", {"decimal": ","}, 0.5),
        ("€ 3", {"units": ["€"]}, 3),
        ("5 %", {"units": ["%"]}, 5),
        ("-5%", {"units": ["%"]}, -5),
        ("1.234,5 €", {"units": ["€"], "thousands": ".", "decimal": ","}, 1234.5),
    ],
)
def test_formatted_numbers_are_read_by_their_setting(written: str, options: dict, expected: float) -> None:
    assert column([written, "" if "units" in options else "7"], **options)[0][0] == expected


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ("1,234.50", "thousands: ','"),
        ("1.234,50", "thousands: '.', decimal: ','"),
        ("0,5", "decimal: ','"),
        ("€ 3", "units: ['€']"),
        ("3 EUR", "units: ['EUR']"),
        ("5 %", "units: ['%']"),
        ("2024-01-31", "dates: [a]"),
        ("31.01.2024", "dates: {a: '%d.%m.%Y'}"),
        ("1/31/2024", "dates: {a: '%m/%d/%Y'}"),
        ("18446744073709551616", "text: [...]"),
    ],
)
def test_what_was_read_as_texts_is_named_with_the_setting_that_reads_it(written: str, setting: str, spec: Spec) -> None:
    values, _ = column([written] * 20)
    frame = pd.DataFrame({"a": values, "kind": [0, 1] * 10})
    with pytest.raises(InputError) as caught:
        check(frame, spec())
    assert "column 'a'" in str(caught.value) and setting in str(caught.value) and written in str(caught.value)
    check(frame, spec(csv={"text": ["a"]}))


def test_numbers_that_nothing_keeps_apart_are_refused(spec: Spec) -> None:
    values, _ = column([str(2**64 - 1 - n) for n in range(20)])
    with pytest.raises(InputError, match=r"column 'a': holds numbers that no served type keeps apart: 1844674407370955161\d, "):
        check(pd.DataFrame({"a": values, "kind": [0, 1] * 10}), spec())
    values, _ = column([str(2**62 + n) for n in range(19)] + [""])
    assert values[1] - values[0] == 1, "a missing value makes no float of them"


def test_dates_are_dates_where_the_file_says_so() -> None:
    assert str(column(["2024-01-31", ""], dates=["a"])[0].dtype).startswith("datetime64")
    assert column(["31.01.2024", "01.02.2024"], dates={"a": "%d.%m.%Y"})[0][1] == pd.Timestamp("2024-02-01")
    with pytest.raises(InputError, match=r"holds 'soon' \(row 2\), no date"):
        column(["2024-01-31", "soon"], dates=["a"])


def test_a_wrong_group_of_digits_is_no_number() -> None:
    with pytest.raises(InputError, match=r"holds '1,23' \(row 2\)"):
        column(["1,234", "1,23"], thousands=",")


def test_a_file_with_another_separator_is_told_by_its_header(csv: File) -> None:
    with pytest.raises(InputError, match=r"separated by ';'. Set `data.csv: \{separator: ';'\}`"):
        read(csv("y;a;b\n0;0,5;x\n"))


@pytest.mark.parametrize(("raw", "said"), [("a,b\nGröße,1\n".encode("latin-1"), "encoding: cp1252"), ("a,b\n".encode("utf-16"), "utf-16")])
def test_another_encoding_is_told_with_the_setting(csv: File, raw: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(csv(raw))


def test_encodings_are_read_by_their_setting(csv: File) -> None:
    assert read(csv("a,b\nGröße,1\n".encode("latin-1")), Csv(encoding="latin-1"))["a"][0] == "Größe"
    assert list(read(csv("a,b\n1,2\n".encode("utf-16")), Csv(encoding="utf-16")).columns) == ["a", "b"]


def test_the_numbers_are_pandas_own(csv: File) -> None:
    path = csv("a,b\n0.1,1\n123456789.123456789,2\n1e-5,3\n")
    pd.testing.assert_frame_equal(parse(path, content(path))[0], pd.read_csv(path))


def test_settings_name_columns_that_are_there(csv: File) -> None:
    with pytest.raises(InputError, match=r"data.csv.dates: the file has no column 'day'"):
        read(csv("a,b\n1,2\n"), Csv(dates=("day",)))
