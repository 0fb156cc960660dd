import time

from include.kinds.forms.speed import ROUNDS, alone, compared, race


def busy(microseconds: float):
    def call() -> None:
        end = time.perf_counter_ns() + microseconds * 1000
        while time.perf_counter_ns() < end:
            pass

    return call


def test_a_model_twice_as_fast_is_seen_to_be_and_the_reference_is_one() -> None:
    found = race({"plain": {1: busy(200), 32: busy(400)}, "fast": {1: busy(100), 32: busy(200)}}, "plain")
    assert found["plain"].speedup == found["plain"].low == found["plain"].high == 1
    assert 1.6 < found["fast"].low <= found["fast"].speedup <= found["fast"].high < 2.4
    assert 100 <= found["fast"].p50_us[1] < 180


def test_an_equal_model_is_not_called_faster_by_any_margin() -> None:
    found = race({"plain": {1: busy(150)}, "same": {1: busy(150)}}, "plain")
    assert found["same"].low < 1.02


def test_models_that_were_up_one_after_the_other_are_compared_round_by_round() -> None:
    plain = [{1: 100.0, 4: 400.0 + n} for n in range(ROUNDS)]
    found = compared({"plain": plain, "fast": [{size: us / 2 for size, us in one.items()} for one in plain]}, "plain")
    assert (found["fast"].speedup, found["fast"].low, found["fast"].high) == (2.0, 2.0, 2.0)
    assert found["plain"].speedup == 1.0 and found["fast"].p50_us == {1: 50.0, 4: 207.0 - 3.5}
    rounds = alone({1: busy(50), 2: busy(60)})
    assert len(rounds) == ROUNDS and all(one[1] >= 50 and one[2] >= 60 for one in rounds)
