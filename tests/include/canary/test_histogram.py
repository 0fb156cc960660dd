import math

from include.canary.histogram import clip_bounds
from include.canary.observations import Latencies


def test_an_arm_that_is_slower_as_a_whole_is_not_clipped_to_the_other() -> None:
    fast, slow = Latencies.of([1.0, 1.1, 0.9] * 100), Latencies.of([40.0, 41.0, 42.0] * 10)
    low, high = clip_bounds(slow, fast)
    assert low < math.log(40.0) and math.log(42.0) < high


def test_one_stuck_request_is_clipped() -> None:
    fast, stuck = Latencies.of([1.0, 1.1, 0.9] * 100), Latencies.of([10_000.0])
    assert clip_bounds(stuck, fast)[1] < math.log(10.0)
