"""Every registered kind is whole: a folder with its steps, a spec that says its name, runtimes that exist."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from include.kinds.kind import Kind
from include.kinds.load import find, load
from include.kinds.registry import KINDS, kind_of
from include.runtime.settings import REPO
from include.steps.body import body

STEPS = ("extract", "train", "evaluate", "optimize", "verify")
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)


@EVERY
def test_a_kind_is_a_folder_of_its_own_name(kind: Kind):
    assert type(kind).__module__ == f"include.kinds.{kind.name}.kind"
    assert "kind" in kind.spec.model_fields and KINDS[kind.name] is kind
    assert all(find_spec(f"include.kinds.{kind.name}.steps.{step}") for step in STEPS)


@pytest.mark.parametrize("path", find(REPO / "include" / "models"), ids=lambda path: path.parent.name)
def test_its_steps_run_in_environments_that_there_are(path: Path):
    spec = load(path)
    kind = kind_of(spec)
    steps = [*STEPS, *(["base"] if "base" in kind.tasks(spec) else [])]
    assert {runtime for step in steps for runtime in kind.runtimes(step, spec)} <= {folder.name for folder in (REPO / "docker").iterdir()}
    assert all(source.exists() for step in steps for source in kind.sources(step, spec, path.parent, {}))


@pytest.mark.parametrize("step", ["train", ".train", "table."])
def test_a_step_without_a_kind_is_refused(step: str):
    with pytest.raises(ValueError, match="names no kind"):
        body(step)
