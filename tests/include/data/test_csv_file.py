"""How a CSV is read: what is missing, what is a number, and what is said when neither is plain."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from include.data.table import check, content, parse, read
from include.errors import InputError
from include.spec.data import Csv
from include.spec.schema import ModelSpec

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
        ("31/12/2024", "dates: {a: '%d/%m/%Y'}"),
        ("31 Dec 2024", "dates: {a: '%d %b %Y'}"),
        ("31-Dec-24", "dates: {a: '%d-%b-%y'}"),
        ("December 31, 2024", "dates: {a: '%B %d, %Y'}"),
        ("31.01.24", "dates: {a: '%d.%m.%y'}"),
        ("1/31/2024 10:00:05", "dates: {a: '%m/%d/%Y %H:%M:%S'}"),
        ("2024/12/31", "dates: {a: '%Y/%m/%d'}"),
        ("31-12-2024", "dates: {a: '%d-%m-%Y'}"),
        ("10 kg", "units: ['kg']"),
        ("18446744073709551616", "text: [...]"),
        ("12:30", "times or durations"),
        ("1.5k", "numbers in thousands or millions"),
        ("(5.00)", "negative numbers in parentheses"),
        ("5-", "the sign behind"),
        ("\u22125", "typographic minus sign"),
        ("1_000", "numbers with underscores"),
        ("1_000.50", "numbers with underscores"),
        ("1/2", "fractions"),
        ("\u0661\u0662", "other digits than 0 to 9"),
    ],
)
def test_what_was_read_as_texts_is_named_with_the_setting_that_reads_it(written: str, setting: str, spec: Spec) -> None:
    values, _ = column([written] * 20)
    frame = pd.DataFrame({"a": values, "kind": [0, 1] * 10})
    with pytest.raises(InputError) as caught:
        check(frame, spec())
    assert "column 'a'" in str(caught.value) and setting in str(caught.value) and written in str(caught.value)
    check(frame, spec(csv={"text": ["a"]}))


def test_units_of_several_kinds_are_read_by_no_setting(spec: Spec) -> None:
    values, _ = column(["900 g", "1 kg"] * 10)
    with pytest.raises(InputError) as caught:
        check(pd.DataFrame({"a": values, "kind": [0, 1] * 10}), spec())
    assert "numbers with a unit" in str(caught.value) and "units:" not in str(caught.value)


def test_a_decimal_point_is_no_text_where_the_comma_was_set(spec: Spec) -> None:
    values, _ = column(["0.5", "1.5"] * 10, decimal=",")
    with pytest.raises(
        InputError, match=r"column 'a': holds numbers with a decimal point as texts, such as '0.5', and `data.csv.decimal` is ','"
    ):
        check(pd.DataFrame({"a": values, "kind": [0, 1] * 10}), spec(csv={"decimal": ","}))


@pytest.mark.parametrize("number", ["0.00000000000001953", "0.000000000000000000003427", "123456789.123456789", "3.42E-018", "5e-324"])
@pytest.mark.parametrize("options", [{}, {"thousands": " "}, {"units": ["m"]}])
def test_no_digit_of_a_number_is_lost(number: str, options: dict) -> None:
    written = f"{number} m" if "units" in options else number
    assert float(column([written, written], **options)[0][0]) == float(number)


def test_what_is_no_number_for_a_unit_stays_a_text() -> None:
    assert list(column(["1_000 m", "nan m"], units=["m"])[0]) == ["1_000 m", "nan m"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["1E5", "12E4"], "numbers with an exponent (1E5 is 100000.0)"),
        (["02134.0", "10001.0"], "numbers with leading zeros (02134.0 is 2134.0)"),
        (["12345678901234567.5", "12345678901234568.5", "1"], "more digits than 64-bit floats hold, such as 12345678901234567.5: 1 "),
    ],
)
def test_what_numbers_no_longer_tell_is_said(written: list[str], said: str) -> None:
    assert any(said in note for note in column(written)[1])


def test_plain_numbers_are_read_without_a_word() -> None:
    assert column(["1.5", "-2", "1e-5", "2.5E+3", "0", "0.5", "100000000000000000", "0.10000000000000000", "0.1000000000000000"])[1] == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a,b\n1,2\n3\x00,4\n", "t.csv:3: holds a NUL character"),
        (b"sep=;\na;b\n1;2\n", "t.csv:1: the first line is a spreadsheet's word for its separator"),
        (b'a, b\n1, "x"\n', "quotes behind a blank are part of the text"),
        ("gr\u00f6\u00dfe,gro\u0308\u00dfe\n1,2\n".encode(), "is there twice"),
    ],
)
def test_what_would_be_lost_or_misread_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(Path("t.csv"), raw)
    assert said in str(caught.value)


def test_utf_8_is_not_read_as_another_encoding() -> None:
    with pytest.raises(
        InputError, match=r"is UTF-8: read as LATIN-1, each letter beyond ASCII would become two others\. Take `data\.csv\.encoding` out"
    ):
        parse(Path("t.csv"), "a,b\nGröße,1\n".encode(), Csv(encoding="latin-1"))
    assert parse(Path("t.csv"), b"a,b\nx,1\n", Csv(encoding="latin-1"))[0]["a"][0] == "x"


def test_a_name_with_blanks_around_it_is_said() -> None:
    assert "blanks around it" in parse(Path("t.csv"), b"a, b\n1,2\n")[1][0]


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
    pd.testing.assert_frame_equal(parse(path, content(path))[0], pd.read_csv(path, float_precision="round_trip"))


def test_settings_name_columns_that_are_there(csv: File) -> None:
    with pytest.raises(InputError, match=r"data.csv.dates: the file has no column 'day'"):
        read(csv("a,b\n1,2\n"), Csv(dates=("day",)))


def test_times_with_and_without_a_zone_are_not_taken_for_one_zone() -> None:
    with pytest.raises(InputError, match=r"holds times with a zone \('2024-01-31T10:00Z', row 2\) and without \('2024-01-31', row 1\)"):
        column(["2024-01-31", "2024-01-31T10:00Z"], dates=["a"])
    times, _ = column(["2024-01-31T10:00+02:00", "", "2024-01-31 10:00Z", "2024-01-31 10:00+02"], dates=["a"])
    assert [at.hour for at in times.dropna()] == [8, 10, 8]
    assert column(["2024-01-31", "2024-01-31 10:00"], dates=["a"])[0][1] == pd.Timestamp("2024-01-31 10:00")
