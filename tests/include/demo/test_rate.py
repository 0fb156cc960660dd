"""How often the client of `make demo-llm` asks."""

import threading

import pytest

from include.demo.rate import AT_ONCE, measured, offered


@pytest.mark.parametrize(
    ("works", "per_s"), [(lambda number: True, 4.0), (lambda number: number % 2 == 0, 2.0), (lambda number: False, 0.0)]
)
def test_what_a_machine_answers_is_counted_and_what_it_fails_is_not(works, per_s):
    now, lock = [0.0], threading.Lock()

    def ask(number: int) -> bool:
        with lock:
            now[0] += 0.25  # the machine answers four a second, however many ask
        return works(number)

    assert measured(ask, 50.0, lambda: now[0]) == pytest.approx(per_s, abs=AT_ONCE / 50)


@pytest.mark.parametrize(
    ("answers_per_s", "rate"),
    [(200.0, 25.0), (40.0, 18.0), (21.0, 9.0), (0.0, 2.0)],
)
def test_less_than_half_is_offered_for_a_trial_asks_as_much_again(answers_per_s, rate):
    assert offered(answers_per_s, 25.0) == rate
