"""Whose a model is, and whose its GPUs are."""

import pytest

from include.kinds.load import load
from include.runtime.settings import REPO
from include.spec.problem import SpecError

SPEC = (REPO / "include" / "models" / "digits" / "model.yaml").read_text()


def spec(tmp_path, text):
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in ("data.py", "train.py", "serving.py", "expectations.yaml"):
        source = REPO / "include" / "models" / "digits" / name
        if source.exists():
            (folder / name).write_text(source.read_text())
    (folder / "model.yaml").write_text(text)
    return load(folder / "model.yaml")


def test_a_model_is_everybodys_unless_its_spec_names_a_team(tmp_path):
    assert spec(tmp_path, SPEC).team == "default"


def test_its_gpus_are_asked_for_by_its_team_where_a_part_names_none(tmp_path):
    found = spec(tmp_path, f"team: vision\n{SPEC}")
    assert (found.team, found.train.resources.team) == ("vision", "vision")


def test_a_part_that_names_a_team_keeps_it(tmp_path):
    text = SPEC.replace("{memory: 8GiB", "{team: text, memory: 8GiB")
    assert spec(tmp_path, f"team: vision\n{text}").train.resources.team == "text"


def test_what_is_no_team_is_refused_by_its_field(tmp_path):
    with pytest.raises(SpecError, match="team"):
        spec(tmp_path, "team: 'a b'\n" + SPEC)
