from __future__ import annotations

import pytest

from include.runtime import waiting
from include.runtime.waiting import until


class Clock:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def test_the_first_true_answer_is_returned_and_nothing_is_waited_for_after_it(clock: Clock) -> None:
    answers = iter(["", [], "here", "later"])
    assert until(lambda: next(answers), 10, 2) == "here"
    assert clock.slept == [2, 2]


def test_a_condition_that_holds_at_once_costs_no_time(clock: Clock) -> None:
    assert until(lambda: 7, 0) == 7 and not clock.slept


def test_what_does_not_come_in_time_is_asked_for_once_more_at_the_end(clock: Clock) -> None:
    asked = []
    assert not until(lambda: asked.append(clock.now), 5, 2)
    assert asked == [100, 102, 104, 105]


def test_an_error_of_the_condition_ends_the_wait(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        until(lambda: 1 // 0, 10)
