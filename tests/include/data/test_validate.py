"""A table against its expectations, by the real Great Expectations."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.data.validate import validate
from include.errors import InputError
from include.spec.problem import SpecError
from include.verdict import Decision, Verdict

Run = Callable[[pd.DataFrame, str], Verdict]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(frame: pd.DataFrame, rules: str) -> Verdict:
        frame.to_parquet(tmp_path / "table.parquet")
        (tmp_path / "expectations.yaml").write_text(rules)
        return validate(tmp_path / "table.parquet", tmp_path / "expectations.yaml", tmp_path / "docs", name="wine", target="kind")

    return run


def test_a_good_table_passes_with_one_rule_a_line(run: Run, frame: pd.DataFrame) -> None:
    verdict = run(frame, "- expect_table_row_count_to_be_between: {min_value: 5}\n- expect_column_values_to_not_be_null: {columns: '*'}\n")
    assert verdict.decision is Decision.PASS
    assert [(rule.passed, rule.figure) for rule in verdict.rules] == [(True, "20"), (True, "4 columns, all rows")]
    assert verdict.reasons == ("All 5 expectations that must hold do, in 20 rows.",)


def test_a_failed_rule_names_column_figure_bar_and_offending_rows(run: Run, frame: pd.DataFrame) -> None:
    frame.loc[[2, 6], "acid"] = [99.0, -1.0]
    verdict = run(frame, "- expect_column_values_to_be_between: {column: acid, min_value: 0, max_value: 14}\n")
    (rule,) = verdict.rules
    assert verdict.decision is Decision.FAIL
    assert (rule.name, rule.passed) == ("expect_column_values_to_be_between (acid)", False)
    assert (rule.figure, rule.bar, rule.detail) == ("2 of 20 rows", "min_value 0, max_value 14", "row 3: 99, row 7: -1")
    assert "acid" in verdict.reasons[0] and "row 3: 99" in verdict.reasons[0]


def test_of_many_columns_each_that_fails_has_its_own_rule(run: Run, frame: pd.DataFrame) -> None:
    frame.loc[4, "acid"] = np.nan
    frame.loc[5, "region"] = None
    verdict = run(frame, "- expect_column_values_to_not_be_null: {columns: '*'}\n")
    assert [(rule.name.split()[1], rule.detail) for rule in verdict.rules] == [("(acid)", "row 5: missing"), ("(region)", "row 6: missing")]


def test_no_more_than_five_offending_rows_are_named(run: Run, frame: pd.DataFrame) -> None:
    (rule,) = run(frame, "- expect_column_values_to_be_in_set: {column: region, value_set: [west]}\n").rules
    assert rule.figure == "20 of 20 rows"
    assert rule.detail == "row 1: north, row 2: south, row 3: north, row 4: south, row 5: north, ..."


def test_an_aggregate_rule_shows_the_observed_value(run: Run, frame: pd.DataFrame) -> None:
    (rule,) = run(frame, "- expect_column_mean_to_be_between: {column: acid, max_value: 2}\n").rules
    assert (rule.passed, rule.figure) == (False, "2.375")


def test_a_column_that_is_not_there_fails_its_rule_with_the_nearest_name(run: Run, frame: pd.DataFrame) -> None:
    rules = "- expect_column_values_to_not_be_null: {column: suger}\n- expect_column_values_to_not_be_null: {columns: 'p_*'}\n"
    verdict = run(frame, rules)
    assert verdict.decision is Decision.FAIL
    assert (verdict.rules[0].figure, verdict.rules[0].detail) == ("no column 'suger'", "Did you mean 'sugar'?")
    assert verdict.rules[1].figure == "no such column"


def test_a_rule_that_can_not_be_decided_fails_the_table(run: Run, frame: pd.DataFrame) -> None:
    verdict = run(frame, "- expect_column_values_to_match_regex: {column: region, regex: '('}\n")
    assert (verdict.decision, verdict.rules[0].passed, verdict.rules[0].figure) == (Decision.FAIL, None, "could not be decided")
    assert verdict.rules[0].detail


def test_rows_without_a_value_are_counted_where_a_rule_passes_over_them(run: Run, frame: pd.DataFrame) -> None:
    """Great Expectations' rules of values are silent about missing ones: a column that is nine tenths empty would pass as "all rows"."""
    frame.loc[2:, "region"] = None
    verdict = run(frame, "- expect_column_values_to_be_in_set: {columns: [region], value_set: [north, south]}\n")
    assert (verdict.decision, verdict.rules[0].figure) == (Decision.PASS, "all rows; 18 have no value, and pass")
    verdict = run(frame, "- expect_column_values_to_be_in_set: {columns: [region, kind], value_set: [north, south, red, white]}\n")
    assert verdict.rules[0].passed is False or verdict.rules[0].figure == "2 columns, all values; 18 are missing, and pass"


@pytest.mark.parametrize(("most", "passes"), [(100, True), (3, False)])
def test_missing_whole_numbers_of_parquet_are_no_reason_not_to_decide(run: Run, frame: pd.DataFrame, most: int, passes: bool) -> None:
    frame["n"] = pd.array([n if n % 2 else None for n in range(len(frame))], dtype="Int64")
    frame["limit"] = float(most)
    verdict = run(
        frame,
        "- expect_column_pair_values_a_to_be_greater_than_b: {column_A: limit, column_B: n, ignore_row_if: either_value_is_missing}\n",
    )
    assert verdict.rules[0].passed is passes, verdict.rules[0]


def test_a_mean_of_texts_is_told_as_that(run: Run, frame: pd.DataFrame) -> None:
    verdict = run(frame, "- expect_column_mean_to_be_between: {column: region, min_value: 0}\n")
    assert verdict.rules[0].passed is None and "The column holds texts: the rule is for numbers." in verdict.rules[0].detail


def test_a_warning_is_shown_and_does_not_fail_the_table(run: Run, frame: pd.DataFrame) -> None:
    verdict = run(frame, "- expect_table_row_count_to_be_between: {min_value: 100, severity: warning}\n")
    assert (verdict.decision, verdict.rules[0].passed) == (Decision.PASS, False)
    assert verdict.reasons[1].startswith("Warning only: expect_table_row_count_to_be_between: 20")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("\n- expect_column_to_exit: {column: a}\n", "such rule. Did you mean `expect_column_to_exist`?"),
        ("- expect_column_max_to_be_between: {column: acid, min_valu: 3}\n", ".min_valu: is no argument of this rule."),
        ("- expect_column_values_to_be_between: {column: acid}\n", "min_value and max_value cannot both be None"),
        ("- expect_column_values_to_not_be_null: {}\n", "[0].expect_column_values_to_not_be_null.column: is missing."),
        ("- expect_column_values_to_not_be_null: {column: acid, mostly: 2}\n", ".mostly: is refused"),
        ("- expect_column_values_to_not_be_null: {column: acid, meta: {}}\n", ".meta: is no argument of this rule."),
        ("- expect_column_values_to_be_between: {columns: 'nope*', min_valu: 3}\n", "Did you mean `min_value`?"),
    ],
)  # fmt: skip
def test_a_rule_that_great_expectations_refuses_is_named_with_its_line(run: Run, frame: pd.DataFrame, rules: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        run(frame, rules)
    assert expected in str(caught.value)


def test_every_refused_rule_is_named_at_once(run: Run, frame: pd.DataFrame) -> None:
    with pytest.raises(SpecError) as caught:
        run(frame, "- expect_a: {}\n- expect_b: {}\n")
    assert len(caught.value.problems) == 2


def test_the_data_docs_are_great_expectations_own_and_replaced_whole(run: Run, frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "stale.html").touch()
    run(frame, "- expect_column_to_exist: {column: acid}\n")
    assert (tmp_path / "docs" / "index.html").is_file() and not (tmp_path / "docs" / "stale.html").exists()
    assert len(list((tmp_path / "docs" / "validations").rglob("*.html"))) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_the_evidence_is_json_and_describes_the_data(run: Run, frame: pd.DataFrame) -> None:
    frame.loc[19] = frame.loc[18]
    frame.loc[0, "acid"] = np.nan
    profile = run(frame, "- expect_column_to_exist: {column: acid}\n").to_json()["evidence"]["profile"]
    assert json.loads(json.dumps(profile, allow_nan=False)) == profile
    assert (profile["rows"], profile["missing"], profile["duplicates"]) == (20, 1, 1)
    assert profile["columns"]["sugar"] == {"type": "int64", "missing": 0, "distinct": 19, "min": 0.0, "mean": 9.45, "max": 18.0}
    assert profile["target"]["distribution"] == [{"value": 0, "rows": 8}, {"value": 1, "rows": 6}, {"value": 2, "rows": 6}]


def test_nothing_is_reported_to_anyone(run: Run, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert run(frame, "- expect_column_to_exist: {column: acid}\n").decision is Decision.PASS


def test_an_unreadable_table_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "expectations.yaml").write_text("- expect_column_to_exist: {column: a}\n")
    with pytest.raises(InputError, match="can't be read"):
        validate(tmp_path / "table.csv", tmp_path / "expectations.yaml", tmp_path / "docs", name="wine")


def test_a_rule_on_quantiles_is_decided(run: Run, frame: pd.DataFrame) -> None:
    ranges = "{quantiles: [0.5], value_ranges: [[0, HIGH]]}"
    rule = f"- expect_column_quantile_values_to_be_between: {{column: acid, quantile_ranges: {ranges}}}\n"
    assert run(frame, rule.replace("HIGH", "100")).decision is Decision.PASS
    assert run(frame, rule.replace("HIGH", "1")).decision is Decision.FAIL


@pytest.mark.parametrize("kind", ["dates", "texts"])
def test_rules_with_dates_for_bounds_are_decided(run: Run, frame: pd.DataFrame, kind: str) -> None:
    days = pd.Series(pd.date_range("2026-01-01 12:00", periods=20, freq="D"))
    frame["day"] = days if kind == "dates" else days.dt.strftime("%Y-%m-%d")
    rules = """
- expect_column_values_to_be_between: {column: day, min_value: "2026-01-01", max_value: 2026-01-20}
- expect_column_max_to_be_between: {column: day, max_value: "2026-01-20"}
- expect_column_values_to_not_be_null: {column: day}
"""
    assert run(frame, rules).decision is Decision.PASS
    verdict = run(frame, '- expect_column_values_to_be_between: {column: day, min_value: "2026-01-03"}\n')
    assert [(rule.passed, rule.figure) for rule in verdict.rules] == [(False, "2 of 20 rows")]


def test_a_column_without_a_value_is_mentioned(run: Run, frame: pd.DataFrame) -> None:
    verdict = run(frame.assign(empty=np.nan), "- expect_column_values_to_be_between: {column: empty, min_value: 0}\n")
    assert verdict.rules[0].figure == "no row has a value" and "says nothing of empty: no row has a value there" in " ".join(
        verdict.reasons
    )


def test_data_docs_load_nothing_and_open_at_this_validation(run: Run, frame: pd.DataFrame, tmp_path: Path) -> None:
    run(frame, "- expect_column_values_to_be_in_set: {column: region, value_set: [north, south]}\n")
    pages = list((tmp_path / "docs").rglob("*.html"))
    assert len(pages) >= 3
    loading = re.compile(r"""<(?:link|script|img|iframe|source|object|embed)\b|url\(\s*['"]?(?:https?:)?//|@import""", re.IGNORECASE)
    for page in pages:
        assert not loading.search(page.read_text()), page
    index = (tmp_path / "docs" / "index.html").read_text()
    assert "north" in index and "Statistics" in index
    for link in re.findall(r'href="([^"#:]+\.html)', index):
        assert (tmp_path / "docs" / link).is_file(), link


def test_the_log_holds_no_line_of_great_expectations_own_steps(run: Run, frame: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert run(frame, "- expect_column_values_to_not_be_null: {column: acid}\n").decision is Decision.PASS
    assert [record.getMessage() for record in caplog.records] == []


def test_no_digit_of_an_offending_number_is_lost(run: Run, frame: pd.DataFrame) -> None:
    wide = frame.assign(acid=[1700000000.25, 1234567.0, 12345678901.0, *frame.acid[3:]])
    rule = run(wide, "- expect_column_values_to_be_between: {column: acid, max_value: 100}\n").rules[0]
    assert rule.detail == "row 1: 1700000000.25, row 2: 1234567, row 3: 12345678901"
