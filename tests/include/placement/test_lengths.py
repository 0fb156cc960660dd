"""How long work stays is learned from what has ended."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.placement.lengths import EDGES, Lengths


def learned(**kinds: list[float]) -> Lengths:
    lengths = Lengths()
    for kind, stays in kinds.items():
        for seconds in stays:
            lengths.ended(kind, seconds)
    return lengths


def test_a_kind_is_expected_to_stay_as_long_as_its_like_did():
    lengths = learned(short=[60.0] * 100, long=[36_000.0] * 100)
    assert 40 < lengths.left_s("short", 0.0) < 80
    assert 25_000 < lengths.left_s("long", 0.0) < 45_000


def test_what_was_never_seen_stays_as_long_as_all_work_does():
    lengths = learned(short=[60.0] * 50, long=[36_000.0] * 50)
    assert lengths.left_s("new", 0.0) == pytest.approx(lengths.usual_s(0.5))


def test_who_has_stayed_for_long_is_expected_to_stay_for_longer():
    dice = random.Random(1)
    lengths = learned(any=[60.0 * dice.paretovariate(0.7) for _ in range(2_000)])
    left = [lengths.left_s("any", age) for age in (0.0, 300.0, 3_000.0, 30_000.0)]
    assert left == sorted(left) and left[-1] > 20 * left[0]


def test_who_was_stopped_has_not_ended_by_itself():
    stopped, ended = Lengths(), learned(one=[600.0] * 40)
    for _ in range(40):
        stopped.ended("one", 600.0, by_itself=False)
    assert stopped.left_s("one", 0.0) > 5 * ended.left_s("one", 0.0)


@given(st.lists(st.floats(0, 1e8), max_size=40), st.floats(0, 1e8))
def test_there_is_always_something_left(stays: list[float], age: float):
    lengths = learned(one=stays)
    assert 0 <= lengths.left_s("one", age) < max(EDGES[-1], age) * 2 + 1
    assert lengths.again_s(age) > age or age >= EDGES[-1]
