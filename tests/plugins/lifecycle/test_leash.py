"""A step on its lease's leash: what becomes of it when the pool wants its GPU back, by a clock of the test's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gpu_pool.holder import Stop
from gpu_pool.operators.holding import MustStop
from include.targets.target import StepState
from lifecycle.operators.step import Leash

NOTICE = Stop("preempted", deadline=60, ended=False)
ENDED = Stop("the lease is lost", deadline=5, ended=True)
FENCED = Stop("the lease is lost", deadline=5, ended=True, fenced=True)


class Holder:
    """One lease, its stop and its time set by the test."""

    def __init__(self) -> None:
        self.lease, self.good_until, self.seconds_left, self.stop = SimpleNamespace(id="l1"), 100.0, 60.0, None
        self.heard = 0

    def beat(self) -> Stop | None:
        return self.stop

    def saved(self) -> None:
        self.heard += 1


class Target:
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.told = "of an earlier try"

    def saved(self, step: object) -> str:
        return self.told

    def __getattr__(self, name: str) -> Any:
        return lambda step, *more: self.done.append((name, *more))


@pytest.fixture
def held() -> tuple[Leash, Holder, Target]:
    holder, target = Holder(), Target()
    return Leash(target, SimpleNamespace(), holder), holder, target  # type: ignore[arg-type]


def test_a_renewed_lease_is_passed_on_to_the_step(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    leash.pull(StepState.RUNNING)
    holder.good_until = 130.0
    leash.pull(StepState.RUNNING)
    leash.pull(StepState.RUNNING)
    assert target.done == [("keep", ("l1", 130.0))]


def test_after_a_notice_the_step_is_asked_once_to_stop_and_killed_when_its_time_is_up(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    holder.stop = NOTICE
    leash.pull(StepState.RUNNING)
    leash.pull(StepState.RUNNING)
    assert target.done == [("ask_to_stop",)]
    holder.seconds_left = 0.0
    leash.pull(StepState.RUNNING)
    assert target.done == [("ask_to_stop",), ("kill",)]


def test_a_step_that_stopped_for_others_goes_back_to_the_queue(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    holder.stop = NOTICE
    with pytest.raises(MustStop):
        leash.pull(StepState.FAILED)
    assert target.done == [("stop",)]


def test_a_step_that_was_done_before_its_time_was_up_counts(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    holder.stop = NOTICE
    leash.pull(StepState.SUCCEEDED)
    assert target.done == []


def test_a_lease_that_a_later_try_holds_is_let_go_and_its_step_left_alone(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    holder.stop, holder.good_until = FENCED, 130.0
    with pytest.raises(MustStop):
        leash.pull(StepState.RUNNING)
    assert target.done == []


def test_each_new_word_of_a_checkpoint_is_passed_on_once(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    leash.pull(StepState.RUNNING)
    assert holder.heard == 0
    for told, heard in (("first", 1), ("first", 1), ("second", 2)):
        target.told = told
        leash.pull(StepState.RUNNING)
        assert holder.heard == heard


def test_a_lost_lease_is_no_longer_passed_on(held: tuple[Leash, Holder, Target]):
    leash, holder, target = held
    holder.stop, holder.good_until = ENDED, 130.0
    leash.pull(StepState.RUNNING)
    assert target.done == [("ask_to_stop",)]
