"""The task of one trial: what it tells, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from include.errors import ComponentError, InputError
from include.search.plan import Axis, Plan, SearchState, Trial
from lifecycle.operators import search
from lifecycle.operators.search import SearchTrial, ended, mend, nothing_found
from lifecycle.operators.step import StepOperator

PLAN = Plan({"c": Axis(0.1, 10.0)}, {"c": 1.0}, 6, 2, "random", 0, "", True, 5)
FOUND = {"value": 0.75, "steps": [[1, 0.7], [2, 0.75]], "pruned": False, "seconds": 1.0}


@dataclass
class Api:
    """The platform's table, in a dict; tasks of trials in ``over`` have ended."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    over: tuple[int, ...] = ()

    def get(self, path: str, **_: Any) -> Any:
        if "taskInstances" in path:
            return {"state": "failed" if int(path.rsplit("/", 1)[1]) in self.over else "running"}
        plan = PLAN.to_json() | {"data": "d", "code": "c"}
        return {"plan": plan, "trials": [self.rows[number] for number in sorted(self.rows)]}

    def call(self, _: str, path: str, json: dict[str, Any]) -> Any:
        assert path == search.TRIALS
        kept = self.rows.setdefault(json["number"], json | {"at": datetime.now(UTC).isoformat()})
        if kept["state"] == "RUNNING":
            kept |= json
        return kept


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(search, "code_of", lambda _: "c")
    shown: dict[int, SearchState] = {}
    monkeypatch.setattr(search, "show", lambda _, own: shown.__setitem__(own.number, own.state))
    limits = SimpleNamespace(minutes=None, trial_minutes=None, metric=None, priority=1)
    return SimpleNamespace(key="wine_lifecycle/r", api=Api(), shown=shown, spec=SimpleNamespace(train=SimpleNamespace(search=limits)))


def trial(run: Any, number: int, step: Any = FOUND, attempt: int = 1) -> Any:
    """One try of the task of a trial, whose step gives ``step`` back, or raises it."""

    def does(*_: Any) -> Any:
        if isinstance(step, BaseException):
            raise step
        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepOperator, "run", does)
        task = SearchTrial(number=number, task_id="search_trial", spec_path="wine/model.yaml", retries=4)
        return task.run(run, {"ti": SimpleNamespace(try_number=attempt)})


def told(run: Any) -> list[Trial]:
    return search.search_of(run)[1]


def test_trials_begin_in_their_order_and_tell_how_they_ended(run):
    assert trial(run, 0)["params"] == {"c": 1.0}
    assert trial(run, 1)["state"] == "COMPLETE"
    assert [known.value for known in told(run)] == [0.75, 0.75] and told(run)[0].steps == {1: 0.7, 2: 0.75}


def test_one_that_comes_too_early_waits_without_a_slot(run):
    run.api.rows[0] = Trial(0, {"c": 1.0}).to_json() | {"at": datetime.now(UTC).isoformat()}
    with pytest.raises(AirflowRescheduleException) as waits:
        trial(run, 2)
    assert waits.value.reschedule_date > datetime.now(UTC)


def test_one_whose_worker_was_killed_tries_the_same_again(run):
    class Killed(BaseException):
        """As kill -9."""

    with pytest.raises(Killed):
        trial(run, 0, Killed())
    with pytest.raises(Killed):
        trial(run, 1, Killed())
    before = [known.params for known in told(run)]
    assert {known.state for known in told(run)} == {SearchState.RUNNING}
    for number in (1, 0):
        trial(run, number, attempt=2)
    assert [known.params for known in told(run)] == before and {known.state for known in told(run)} == {SearchState.COMPLETE}


def test_one_that_ended_is_not_done_again(run):
    trial(run, 0)
    run.shown.clear()
    assert trial(run, 0, AssertionError("nothing runs"))["value"] == 0.75
    assert run.shown == {0: SearchState.COMPLETE}, "its first try may have been killed before MLflow was told"


def test_a_training_that_raises_fails_its_trial_alone(run):
    found = trial(run, 0, InputError("train() raised ZeroDivisionError", where="train.py, line 3"))
    assert found["state"] == "FAILED" and "ZeroDivisionError" in told(run)[0].message
    assert trial(run, 1)["state"] == "COMPLETE"


def test_what_a_retry_may_mend_is_tried_again_until_no_try_is_left(run):
    away = ComponentError("the process was ended from outside", where="step trial.0")
    for attempt in range(1, 5):
        with pytest.raises(ComponentError):
            trial(run, 0, away, attempt)
        assert told(run)[0].state is SearchState.RUNNING
    assert trial(run, 0, away, 5)["state"] == "FAILED" and "After 5 tries" in told(run)[0].message


def test_a_trial_whose_task_died_at_every_try_stops_nobody(run):
    run.api.rows[0] = Trial(0, {"c": 1.0}).to_json() | {"at": datetime.now(UTC).isoformat()}
    run.api.over = (0,)
    with pytest.raises(AirflowRescheduleException):
        trial(run, 2)
    assert trial(run, 2)["state"] == "COMPLETE", "the next look finds that it has failed"
    assert told(run)[0].state is SearchState.FAILED and "without a word" in told(run)[0].message
    assert run.shown[0] is SearchState.FAILED
    assert [known.number for known in mend(run, {}, told(run))] == [0, 1, 2]


def test_code_that_has_changed_since_is_refused_with_how(run, monkeypatch):
    monkeypatch.setattr(search, "code_of", lambda _: "another")
    with pytest.raises(AirflowFailException, match=r"code has changed .* Start a new run"):
        trial(run, 0)


def test_no_trial_begins_when_the_time_is_over(run):
    trial(run, 0)
    run.api.rows[0]["at"] = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    run.spec.train.search.minutes = 5
    assert trial(run, 1)["state"] == "LEFT_OUT" and len(told(run)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{}, {"value": "x"}, {"value": float("nan")}, {"steps": [[1]]}, {"steps": [[1, "inf"]]}, {"seconds": None}, {"steps": {"a": 1}}],
)
def test_a_result_that_is_none_is_the_trials_failure(wrong):
    with pytest.raises(InputError, match="is no result of a trial"):
        ended(Trial(0, {}), FOUND | wrong if wrong else {})


def test_when_all_fail_the_first_ones_words_are_given():
    trials = [Trial(number, {}, SearchState.FAILED, message=f"why {number}") for number in range(3)]
    assert nothing_found(trials) == "none of 3 trials came to its end. The first said: why 0"
