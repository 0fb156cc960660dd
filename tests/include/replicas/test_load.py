"""How many servers a load asks for, by simulation: a second is a step, and servers come at once."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from include.replicas.load import Aim, Change, Sample, change, kept
from include.replicas.number import Bounds

AIM = Aim(in_flight=10)
BOUNDS = Bounds(1, 8)


def played(load: Callable[[int], float], seconds: int, count: int = 1, aim: Aim = AIM, bounds: Bounds = BOUNDS) -> list[tuple[int, int]]:
    """Return the changes that a load brings about: when, and to how many."""
    samples: list[Sample] = []
    found = []
    for second in range(seconds):
        samples = kept([*samples, Sample(second, load(second))], aim, second)
        if (due := change(aim, bounds, count, samples, second)) is not None:
            count = due.replicas
            found.append((second, count))
    return found


def test_more_load_brings_servers_within_a_minute_and_less_takes_them_after_five() -> None:
    found = played(lambda second: 35.0 if 60 <= second < 300 else 5.0, 900)
    ups, downs = [one for one in found if one[0] < 300], [one for one in found if one[0] >= 300]
    assert ups[-1][1] == 4 and ups[-1][0] <= 60 + 30 + 15 + 1
    assert downs[-1][1] == 1 and 300 + 300 <= downs[-1][0] <= 300 + 300 + 15 + 1


def test_a_burst_of_ten_seconds_starts_nothing_and_a_lull_of_two_minutes_ends_nothing() -> None:
    assert played(lambda second: 80.0 if 100 <= second < 110 else 5.0, 400) == []
    assert played(lambda second: 2.0 if 400 <= second < 520 else 38.0, 900, count=4) == []


def test_a_load_that_swings_around_an_edge_does_not_flap() -> None:
    noise = random.Random(7)
    found = played(lambda second: 20 + noise.uniform(-4, 4), 1_800, count=2)
    assert len(found) <= 1, found


def test_what_waits_for_servers_that_do_not_come_asks_for_no_more_than_allowed() -> None:
    assert played(lambda second: 10_000.0, 200, bounds=Bounds(1, 3))[-1][1] == 3
    assert played(lambda second: 0.0, 1_000, count=3, bounds=Bounds(2, 3)) == [(300, 2)]


def test_nothing_is_changed_by_what_was_not_looked_at_for_long_enough() -> None:
    assert change(AIM, BOUNDS, 3, [Sample(100, 0.0)], 100) is None
    assert change(AIM, BOUNDS, 3, [], 100) is None
    assert change(AIM, BOUNDS, 1, [Sample(second, 35.0) for second in range(70, 101)], 100) == Change(
        4, "35.0 requests under way, 10 a server, for 30 s."
    )


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=400), st.integers(1, 8), st.integers(1, 4), st.integers(4, 8))
def test_it_never_leaves_its_bounds(loads: list[float], count: int, least: int, most: int) -> None:
    bounds = Bounds(least, most)
    samples = [Sample(second, load) for second, load in enumerate(loads)]
    due = change(AIM, bounds, min(max(count, least), most), samples, len(loads) - 1)
    assert due is None or least <= due.replicas <= most
