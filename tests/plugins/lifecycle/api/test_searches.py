"""Searches over the API: bound once, trials kept once, and by the service alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from include.search.plan import Axis, Plan, SearchState, Trial
from tests.plugins.lifecycle.api.conftest import Api

PLAN = Plan({"c": Axis(0.1, 10, log=True), "kind": Axis(choices=("a", "b"))}, {"c": 1.0, "kind": "a"}, 5, 2, "tpe", 0, "", True, 5)


def bind(api: Api, key: str, plan: Plan = PLAN, **more: Any) -> Any:
    return api.put("searches", {"run_key": key, "model": "digits", "plan": plan.to_json() | {"data": "d", "code": "c"} | more})


def tell(api: Api, key: str, trial: Trial, user: str | None = "updraft") -> Any:
    return api.put("searches/trials", {"run_key": key} | trial.to_json(), user)


@pytest.fixture
def key(api: Api) -> str:
    found = api.run_key()
    assert bind(api, found).status_code == 200
    return found


def test_a_search_and_its_trials_come_back_as_they_were_kept(api: Api, key: str) -> None:
    ended = Trial(0, {"c": 1.0, "kind": "a"}, SearchState.COMPLETE, 0.75, {1: 0.7, 2: 0.75}, seconds=1.5)
    for trial in (Trial(0, ended.params), Trial(1, {"c": 2.5, "kind": "b"}), ended):
        assert tell(api, key, trial).status_code == 200
    found = api.get("searches", params={"run_key": key}).json()
    own = {name: found["plan"][name] for name in Plan.__dataclass_fields__}
    assert Plan.from_json(own) == PLAN
    assert [Trial.from_json(row) for row in found["trials"]] == [ended, Trial(1, {"c": 2.5, "kind": "b"})]
    assert found["trials"][0]["ended"] and found["trials"][1]["ended"] is None


@pytest.mark.parametrize(
    ("plan", "more", "named"),
    [
        (replace(PLAN, axes={"c": Axis(0.1, 20, log=True), "kind": PLAN.axes["kind"]}), {}, "axes"),
        (replace(PLAN, seed=1), {}, "seed"),
        (PLAN, {"data": "other"}, "data"),
        (PLAN, {"code": "other"}, "code"),
    ],
)
def test_a_search_that_is_resumed_with_another_space_is_refused_with_how(api: Api, key: str, plan: Plan, more: dict, named: str) -> None:
    answer = bind(api, key, plan, **more)
    assert answer.status_code == 409
    detail = answer.json()["detail"]
    assert f"({named} differ" in detail and "Start a new run" in detail
    assert bind(api, key).status_code == 200, "the same plan again is none"


def test_of_a_trial_that_has_ended_the_first_word_stays(api: Api, key: str) -> None:
    first = Trial(0, {"c": 1.0, "kind": "a"}, SearchState.COMPLETE, 0.5)
    tell(api, key, first)
    answer = tell(api, key, replace(first, state=SearchState.FAILED, value=None, message="late"))
    assert answer.status_code == 200 and answer.json()["state"] == "COMPLETE" and answer.json()["value"] == 0.5
    assert tell(api, key, Trial(0, first.params)).json()["state"] == "COMPLETE"


def test_a_trial_never_tries_something_else_than_before(api: Api, key: str) -> None:
    tell(api, key, Trial(0, {"c": 1.0, "kind": "a"}))
    answer = tell(api, key, Trial(0, {"c": 3.0, "kind": "a"}))
    assert answer.status_code == 409 and "began with others" in answer.json()["detail"]


def test_two_tasks_that_ask_at_once_keep_one_trial(api: Api, key: str) -> None:
    trials = [Trial(number, {"c": 1.0 + number, "kind": "a"}) for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda trial: tell(api, key, trial).status_code, trials * 2))
    assert set(answers) == {200}
    assert len(api.get("searches", params={"run_key": key}).json()["trials"]) == 4


def test_who_may_and_what_is_refused(api: Api, key: str) -> None:
    trial = Trial(0, {"c": 1.0, "kind": "a"})
    assert tell(api, key, trial, None).status_code == 401
    assert {tell(api, key, trial, user).status_code for user in ("vera", "olaf", "anna")} == {403}
    assert api.get("searches", None, params={"run_key": key}).status_code == 401
    assert tell(api, api.run_key(), trial).status_code == 404
    assert api.get("searches", params={"run_key": api.run_key()}).status_code == 404
    assert tell(api, key, replace(trial, state=SearchState.COMPLETE)).status_code == 422
    body = {"run_key": key} | trial.to_json()
    for wrong in ({"params": {"c": [1]}}, {"steps": [[1]]}, {"number": -1}, {"state": "GONE"}, {"unknown": 1}, {"seconds": "NaN"}):
        assert api.put("searches/trials", body | wrong).status_code == 422, wrong
