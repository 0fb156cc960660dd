"""``python -m include.spec``: what it prints and how it exits."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from include.kinds.command import main, schema
from include.kinds.load import find
from include.runtime.settings import REPO, Settings
from include.spec import document

SHIPPED = find(REPO / "include" / "models")


def test_a_good_spec_is_ok_by_its_file_its_folder_and_its_parent(write: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = write()
    assert main(["check", str(path), str(path.parent), str(path.parent.parent)]) == 0
    assert capsys.readouterr().out.count(": OK") == 3


def test_a_bad_spec_exits_1_with_its_problems(write: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = write("ownr: me\n")
    assert main(["check", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"{path}:6: ownr: unknown field. Did you mean `owner`?")


def test_one_bad_spec_among_good_ones_is_enough_to_fail(write: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    models = write().parent.parent
    (models / "beer").mkdir()
    (models / "beer" / "model.yaml").write_text("")
    assert main(["check", str(models)]) == 1
    captured = capsys.readouterr()
    assert "wine/model.yaml: OK" in captured.out and "beer/model.yaml:1: is empty." in captured.err


def test_a_folder_without_a_spec_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "there is no model.yaml" in capsys.readouterr().err


def test_a_malformed_expectations_file_is_found_too(write: Callable[..., Path], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "expectations.yaml").write_text("- expect_column_to_exist\n")
    assert main(["check", str(write())]) == 1
    assert "expectations.yaml:1: [0]: is not one rule with its arguments." in capsys.readouterr().err


def test_the_schema_kept_for_editors_is_current() -> None:
    kept = (REPO / "include" / "models" / "schema.json").read_text()
    assert kept == schema() + "\n", "python -m include.spec schema include/models/schema.json"


def test_the_schema_is_written_to_a_file_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.json"
    file.write_text("old")
    assert main(["schema", str(file)]) == 0
    assert file.read_text() == schema() + "\n" and file.stat().st_mode & 0o777 == 0o644
    assert capsys.readouterr().out == ""


def test_a_schema_that_can_not_be_made_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "schema.json"
    file.write_text("old")
    monkeypatch.setattr("include.kinds.command.models_json_schema", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["schema", str(file)])
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_schema_for_what_is_no_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}: can't be written: Is a directory.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_shipped_specs_are_valid_by_the_json_schema(path: Path) -> None:
    jsonschema.validate(document.read(path).value, json.loads(schema()))


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"kind": "llm", "name": "a", "base": "b:c", "data": {"source": "d:e"}}, None),
        ({"kind": "llm", "name": "a", "base": "b:c", "data": {"source": "d:e"}, "task": "regression"}, "'task' was unexpected"),
        ({"kind": "llm", "name": "a", "data": {"source": "d:e"}}, "'base' is a required property"),
        ({"name": "a", "task": "regression", "data": {"source": "d:e", "target": "y"}}, None),
        ({"name": "a", "task": "regression", "data": {"source": "d:e"}}, "'target' is a required property"),
        ({"name": "a", "task": "chat", "data": {"source": "d:e", "target": "y"}}, "'chat' is not one of"),
        ({"kind": "lm", "name": "a", "task": "regression", "data": {"source": "d:e", "target": "y"}}, "'table' was expected"),
    ],
)
def test_the_json_schema_judges_each_kind_by_its_own_fields(spec: dict[str, Any], fault: str | None) -> None:
    found = [error.message for error in jsonschema.Draft202012Validator(json.loads(schema())).iter_errors(spec)]
    assert len(found) == (fault is not None) and all(fault in message for message in found if fault)


def test_the_command_works_in_the_runtime_of_training_too() -> None:
    python = Settings.load().python("trainer")
    answer = subprocess.run(
        [python, "-m", "include.spec", "check", "include/models"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout.count(": OK")) == (0, len(SHIPPED)), answer.stderr


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("expect_column_values_to_not_be_nul: {column: x}", "Great Expectations has no such rule"),
        ("expect_column_values_to_be_between: {column: x, minimum: 3}", "is no argument of this rule"),
    ],
)
def test_a_misspelt_expectation_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, said: str) -> None:
    shutil.copytree(REPO / "include/models/diabetes", tmp_path / "diabetes")
    (tmp_path / "diabetes" / "expectations.yaml").write_text(f"- {rule}\n")
    assert main(["check", str(tmp_path / "diabetes")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("target: kin", "data.target: wine.csv has no column 'kin'. Did you mean `kind`?"),
        ("target: kind\n  exclude: [id]", "data.exclude: wine.csv has no column 'id'."),
        ("target: kind\n  features: [acid, sugr]", "data.features: wine.csv has no column 'sugr'. Did you mean `sugar`?"),
        ("target: kind\n  csv: {separator: ','}", ""),
    ],
)
def test_a_column_that_the_file_at_hand_has_not_is_told(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], data: str, said: str
) -> None:
    path = write(f"name: wine\ntask: classification\ndata:\n  source: wine.csv\n  {data}\n", whole=True)
    (path.parent / "wine.csv").write_text("acid,sugar,kind\n" + "1,2,a\n2,3,b\n" * 10)
    assert main(["check", str(path)]) == (1 if said else 0)
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "data.source: wine.csv: "),
        (b"kind;acid;sugar\na;1;2\nb;2;3\n", "csv: {separator: ';'}"),
        (b"acid,since,kind\n" + b"1,2024-01-05,a\n2,2024-02-07,b\n" * 10, "data.source: wine.csv: column 'since'"),
        (b"acid,id,kind\n" + b"1,18446744073709551615,a\n2,18446744073709551614,b\n" * 10, "data.source: wine.csv: column 'id'"),
    ],
)
def test_what_a_run_would_refuse_in_the_file_at_hand_is_told(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    path = write("name: wine\ntask: classification\ndata:\n  source: wine.csv\n  target: kind\n", whole=True)
    (path.parent / "wine.csv").write_bytes(content)
    assert main(["check", str(path)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
