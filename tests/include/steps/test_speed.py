import time

from include.steps.speed import race


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
