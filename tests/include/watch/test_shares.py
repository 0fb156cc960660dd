"""The test of a share: its false alarms over a whole life, and what it makes of looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.watch.shares import DAY_S, ShareTest, life_weight, upper_share


def test_its_alarms_over_a_life_are_no_more_than_alpha():
    """2,000 lives of 400 looks, alpha 0.1: the bound itself, with 4 standard errors of room."""
    rng, lives, looks, alpha = np.random.default_rng(1), 2000, 400, 0.1
    test, alarmed = ShareTest.start(np.full(lives, 0.02)), np.zeros(lives, bool)
    for _ in range(looks):
        asked = rng.poisson(10, lives)
        test = test.observe(asked.astype(float), rng.binomial(asked, 0.02).astype(float), 1 / looks)
        alarmed |= test.total >= 1 / alpha
    assert alarmed.mean() <= alpha + 4 * np.sqrt(alpha * (1 - alpha) / lives)


def test_what_is_expected_of_it_grows_by_the_weights_alone():
    """R minus the weights is a martingale: over all outcomes of one look, R + weight comes out again."""
    test, weight, asked, share = ShareTest(np.full(6, 0.1), np.full((6, 3), 0.7)), 0.5, 5, 0.1
    bad = np.arange(6.0)
    chances = np.array([np.prod([(asked - i) / (i + 1) for i in range(int(k))]) * share**k * (1 - share) ** (asked - k) for k in bad])
    after = test.observe(np.full(6, float(asked)), bad, weight).total
    assert (chances * after).sum() == pytest.approx(3 * 0.7 + weight)


def test_harm_is_found_within_seconds():
    rng, test = np.random.default_rng(2), ShareTest.start(np.full(500, 0.01))
    looks = 0
    while (np.median(test.total) * 12 < 1) and looks < 100:
        asked = rng.poisson(2.5, 500)
        test, looks = test.observe(asked.astype(float), rng.binomial(asked, 0.2).astype(float), 0.5 / DAY_S), looks + 1
    assert looks * 0.5 <= 6


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), max_size=50))
def test_it_stays_finite_and_comes_back_from_json(looks: list[tuple[int, float]]):
    test = ShareTest.start(np.array([0.0]))
    for asked, share in looks:
        test = test.observe(np.array([float(asked)]), np.array([float(round(asked * share))]), 1e-3)
    assert np.isfinite(test.total).all() and (test.total >= 0).all()
    assert ShareTest.from_json(test.to_json()).total == test.total


def test_a_life_has_one_weight_however_it_is_cut():
    whole = life_weight(0, 40 * DAY_S)
    assert sum(life_weight(day * DAY_S, DAY_S) for day in range(40)) == pytest.approx(whole)
    assert whole < 1 and life_weight(0, DAY_S * 1e9) <= 1
    assert life_weight(0, DAY_S) > life_weight(100 * DAY_S, DAY_S) > 0


@pytest.mark.parametrize(("bad", "asked"), [(0, 1), (0, 1000), (10, 1000), (1000, 1000)])
def test_what_the_past_allows_is_above_what_it_was(bad: int, asked: int):
    assert bad / asked <= upper_share(bad, asked) <= 1
    assert upper_share(0, 0) == 1
