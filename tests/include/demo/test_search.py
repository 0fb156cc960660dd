"""The story of `make demo-search`, as far as it needs no platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from include.demo.search import MODEL, TRIALS, Search, tried, write_model
from include.kinds.load import load
from include.kinds.searched import search_plan
from include.runtime.settings import Settings
from include.search.plan import SearchState, Trial


def test_its_model_searches_for_less_loss(tmp_path: Path):
    folder = write_model(replace(Settings.load(), home=tmp_path))
    plan = search_plan(load(folder / MODEL / "model.yaml"), {})
    assert plan.trials == TRIALS and not plan.maximize and plan.first["learning_rate"] == 1.0


def test_what_it_took_is_no_part_of_what_a_trial_came_to():
    trial = Trial(1, {"c": 1.0}, SearchState.COMPLETE, 0.5, {1: 0.5}, seconds=3.0)
    assert tried(trial) == tried(replace(trial, seconds=90.0)) != tried(replace(trial, value=0.6))


def test_a_search_that_came_to_something_else_fails_the_story():
    told = {"kills": 2, "same_trials": True, "same_best": True}
    failure = Search.failure
    assert failure(None, told) == ""  # type: ignore[arg-type]
    assert failure(None, told | {"kills": 0}) and failure(None, told | {"same_best": False})  # type: ignore[arg-type]
