from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from include.data.expectations import read
from include.spec.problem import SpecError


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def file(text: str) -> Path:
        path = tmp_path / "expectations.yaml"
        path.write_text(text)
        return path

    return file


def test_a_glob_stands_for_the_columns_that_match(file: Callable[[str], Path]) -> None:
    (rule,) = read(file("- expect_column_values_to_be_between: {columns: 'p_*', min_value: 0}\n"))
    assert rule.over(["p_1", "q", "p_2"]) == [{"column": "p_1", "min_value": 0}, {"column": "p_2", "min_value": 0}]
    assert rule.over(["q"]) == []


def test_a_rule_about_the_table_or_one_column_is_itself(file: Callable[[str], Path]) -> None:
    table, column = read(file("- expect_table_row_count_to_be_between: {min_value: 1}\n- expect_column_to_exist: {column: a}\n"))
    assert (table.over(["x"]), column.over(["x"])) == ([{"min_value": 1}], [{"column": "a"}])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty."),
        ("a: 1\n", "is no list of expectations."),
        ("[]\n", "is no list of expectations."),
        ("- expect_x\n", ":1: [0]: is not one rule with its arguments."),
        ("- {expect_x: {}, expect_y: {}}\n", ":1: [0]: is not one rule with its arguments."),
        ("- expect_x: 3\n", ":1: [0].expect_x: needs its arguments as a mapping."),
        ("- expect_x: {column: a, columns: b}\n", "[0].expect_x.columns: stands beside `column`."),
        ("- expect_x: {columns: []}\n", "[0].expect_x.columns: must be a pattern"),
        ("- expect_x: {columns: 3}\n", "[0].expect_x.columns: must be a pattern"),
        ("- a: {}\n" * 501, "holds more than 500 rules."),
    ],
    ids=lambda text: text[:30],
)
def test_a_malformed_file_is_named_with_its_line(file: Callable[[str], Path], text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(file(text))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "condition", ['@pd.io.common.os.system("touch MARK") == 0', {"type": "pass_through", "pass_through_filter": "x > 1"}]
)
def test_a_condition_that_pandas_would_run_is_refused_and_not_run(tmp_path, condition):
    mark, path = tmp_path / "mark", tmp_path / "expectations.yaml"
    text = condition.replace("MARK", str(mark)) if isinstance(condition, str) else condition
    rule = {"column": "x", "row_condition": text, "condition_parser": "pandas"}
    path.write_text(yaml.safe_dump([{"expect_column_values_to_not_be_null": rule}]))
    with pytest.raises(SpecError, match="with the platform's rights"):
        read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"$ref": "http://127.0.0.1:9/schema"}, "json_schema.$ref"),
        ({"$ref": "file:///etc/passwd"}, "json_schema.$ref"),
        ({"$dynamicRef": "other.json"}, "json_schema.$dynamicRef"),
        ({"$id": "http://127.0.0.1:9/", "$ref": "#/a"}, "json_schema.$id"),
        ({"properties": {"a": {"anyOf": [{}, {"$ref": "https://x"}]}}}, "json_schema.properties.a.anyOf[1].$ref"),
    ],
    ids=str,
)
def test_a_schema_that_would_be_fetched_is_refused_where_it_is_read(tmp_path: Path, schema: dict[str, object], field: str) -> None:
    path = tmp_path / "expectations.yaml"
    path.write_text(yaml.safe_dump([{"expect_column_values_to_match_json_schema": {"column": "x", "json_schema": schema}}]))
    with pytest.raises(SpecError, match="would be fetched") as caught:
        read(path)
    assert f"[0].expect_column_values_to_match_json_schema.{field}: " in str(caught.value)


def test_a_schema_may_refer_to_itself_and_have_a_property_of_any_name(file: Callable[[str], Path]) -> None:
    schema = "{$schema: 'https://json-schema.org/draft/2020-12/schema', $ref: '#/$defs/a', $defs: {a: {properties: {id: {type: string}}}}}"
    (rule,) = read(file(f"- expect_column_values_to_match_json_schema: {{column: x, json_schema: {schema}}}\n"))
    assert rule.kwargs["json_schema"]["$ref"] == "#/$defs/a"
