"""``python -m include.spec``: what it prints and how it exits."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from include.platform.settings import REPO, Settings
from include.spec.__main__ import main, schema


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
    assert kept == schema() + "\n", "python -m include.spec schema > include/models/schema.json"


@pytest.mark.parametrize("model", ["digits", "diabetes"])
def test_the_shipped_specs_are_valid_by_the_json_schema(model: str) -> None:
    spec = yaml.safe_load((REPO / "include" / "models" / model / "model.yaml").read_text().replace("1e-5", "0.00001"))
    jsonschema.validate(spec, json.loads(schema()))


def test_the_command_works_in_the_runtime_of_training_too() -> None:
    python = Settings.load().python("trainer")
    answer = subprocess.run(
        [python, "-m", "include.spec", "check", "include/models"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout.count(": OK")) == (0, 2), answer.stderr
