"""A CI job's decisions: which models changed, what a comment says, and that the templates call what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.ci import __main__ as command
from include.ci.comment import comment, plain
from include.ci.run import Run, changed, read_conf
from include.errors import InputError
from include.runtime.settings import REPO
from tests.include.report import runs

TEMPLATES = REPO / "include" / "ci" / "templates"


def test_the_models_that_changed_are_those_whose_folders_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("churn", "wine"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.yaml").write_text("name: x\n")
    paths = [
        "models/wine/train.py",
        "models/churn/deep/data.csv",
        "models/churn/model.yaml",
        "models/gone/model.yaml",
        "models/schema.json",
        "README.md",
    ]
    assert changed([*paths, ""], Path("models")) == ["churn", "wine"]
    assert changed(["other/models/wine/train.py", "modelsx/wine/a"], Path("models")) == []


def test_a_comment_holds_the_head_of_the_report(tmp_path: Path) -> None:
    data = runs.promoted()
    told = comment(data, run_url="https://airflow/dags/digits_lifecycle/runs/ci__1", report_url="https://airflow/lifecycle/report/1")
    lines = told.splitlines()
    assert lines[0] == "<!-- updraft: digits -->" and lines[1] == "### ✅ digits: PROMOTED" and lines[3] == plain(data.result.sentence)
    assert any(line.startswith("| ✅ | ") for line in lines) and "[its report](https://airflow/lifecycle/report/1)" in lines[-1]
    assert "⚠️ The platform ran another" in comment(data, run_url="", report_url="", different="The platform ran another model.yaml.")


def test_texts_of_the_data_do_nothing_in_a_comment() -> None:
    assert plain("<img src=x> [a](http://b) | @all `x` *y*\n# z") == "&lt;img src=x&gt; \\[a](http://b) \\| @\u200ball \\`x\\` \\*y\\* # z"
    assert len(plain("x" * 1000)) == 300


@pytest.mark.parametrize("text", ["{", "[1]", "5"])
def test_parameters_that_are_no_mapping_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--conf"):
        read_conf(text)


@pytest.mark.parametrize("key", ["", "a/b", "../x", "a b", "x" * 101])
def test_a_key_that_no_run_can_have_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="--key"):
        Run(None, "digits", key)  # type: ignore[arg-type]


def test_what_is_missing_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("UPDRAFT_URL", "https://airflow")
    for name in ("UPDRAFT_USER", "UPDRAFT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert command.main(["run", str(REPO / "include" / "models" / "diabetes"), "--key", "1"]) == 2
    assert "UPDRAFT_USER, UPDRAFT_PASSWORD not set" in capsys.readouterr().err


def test_a_platform_that_is_away_is_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"UPDRAFT_URL": "http://127.0.0.1:9", "UPDRAFT_USER": "ci", "UPDRAFT_PASSWORD": "x"}.items():
        monkeypatch.setenv(name, value)
    assert command.main(["run", str(REPO / "include" / "models" / "diabetes"), "--key", "1"]) == 3


def scripts(value: Any, at: str = "") -> list[str]:
    """Every shell script of a workflow."""
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in scripts(part, str(key))]
    if isinstance(value, list):
        return [text for part in value for text in scripts(part, at)]
    return [value] if at in ("run", "script") and isinstance(value, str) else []


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a_template_calls_the_command_as_it_is(forge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (TEMPLATES / f"{forge}.yml").read_text()
    found = scripts(yaml.safe_load(text))
    calls = [match for script in found for match in re.findall(r'"\$PY" -m include\.ci ([^<>|\n]+)', script)]
    asked: list[Any] = []
    monkeypatch.setattr(command, "_run", lambda options: asked.append(options) or 0)
    monkeypatch.setattr(command.command, "main", lambda arguments: asked.append(arguments) or 0)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert len(calls) == 3
    for call in calls:
        assert command.main(shlex.split(call)) == 0, call
    assert len(asked) == 2 and asked[1].comment == Path("comment.md")
    assert not any("${{" in script for script in found), "what a forge puts into a script is run by it"
