"""The boundary against what is known of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from include.canary.increments import binomial, hypergeometric, normal
from include.canary.walk import FINEST_SD, Walk


def test_binomial_tail_of_a_single_look_is_exact() -> None:
    walk = Walk.start().advance(binomial(np.array([10.0]), np.array([0.5])), np.array([0.012]))
    # P(X >= 9) = 11/1024 = 0.0107, P(X >= 8) = 56/1024.
    assert walk.boundary[0] == 9
    assert walk.spent[0] == pytest.approx(11 / 1024)


def test_the_false_alarm_rate_of_a_small_trial_is_exact_by_enumeration() -> None:
    failures, spends = (1, 2, 1, 3), (0.0, 0.1, 0.1, 0.2)
    walk, boundaries = Walk.start(), []
    for e, spend in zip(failures, spends, strict=True):
        walk = walk.advance(binomial(np.array([float(e)]), np.array([0.3])), np.array([spend]))
        boundaries.append(walk.boundary[0])
    crossed = 0.0
    for coins in itertools.product((0, 1), repeat=sum(failures)):
        ends = np.cumsum(failures)
        counts = [sum(coins[:end]) for end in ends]
        if any(count >= bar for count, bar in zip(counts, boundaries, strict=True)):
            crossed += 0.3 ** sum(coins) * 0.7 ** (len(coins) - sum(coins))
    assert crossed == pytest.approx(walk.spent[0])
    assert 0 < crossed <= 0.2


def test_normal_boundary_agrees_with_published_pocock_constant() -> None:
    """Five equally spaced looks at a one-sided 2.5 % with constant boundary 2.413 (Pocock 1977): spending what it spends returns it."""
    rng = np.random.default_rng(0)
    paths = np.cumsum(rng.standard_normal((400_000, 5)), axis=1) / np.sqrt(np.arange(1, 6))
    spent = np.array([(paths[:, :k] >= 2.413).any(axis=1).mean() for k in range(1, 6)])
    walk = Walk.start()
    for k in range(5):
        walk = walk.advance(normal(np.array([1.0])), spent[k : k + 1])
        assert walk.boundary[0] / np.sqrt(k + 1) == pytest.approx(2.413, abs=0.04)


def test_a_walk_too_wide_for_its_cells_keeps_its_variance() -> None:
    walk = Walk.start()
    for _ in range(300):
        walk = walk.advance(binomial(np.array([100.0]), np.array([0.5])), np.array([0.0]))
    values = walk.origin[0] + np.arange(walk.mass.shape[1]) * walk.cell[0]
    mean = (walk.mass[0] * values).sum()
    assert not walk.exact[0]
    assert walk.mass.shape[1] < 20 * FINEST_SD
    assert mean == pytest.approx(15_000, rel=1e-6)
    assert (walk.mass[0] * (values - mean) ** 2).sum() == pytest.approx(7_500, rel=0.01)


@pytest.mark.parametrize("idle", [0, 1, 5])
def test_looks_without_information_do_not_move_the_boundary(idle: int) -> None:
    walk = Walk.start()
    for _ in range(idle):
        walk = walk.advance(normal(np.array([0.0])), np.array([0.0]))
    walk = walk.advance(normal(np.array([0.5])), np.array([0.025]))
    assert walk.boundary[0] / np.sqrt(0.5) == pytest.approx(1.96, abs=0.01)


def test_hypergeometric_increment_is_scipys() -> None:
    from scipy.stats import hypergeom

    law = hypergeometric(np.array([7.0]), np.array([20.0]), np.array([5.0]))
    assert law.pmf is not None
    assert law.pmf[0][:6] == pytest.approx(hypergeom(27, 7, 5).pmf(np.arange(6)))
    assert law.var[0] == pytest.approx(hypergeom(27, 7, 5).var())


def test_trials_of_a_batch_do_not_touch_one_another() -> None:
    rng = np.random.default_rng(1)
    failures, shares = rng.poisson(40, (50, 3)).astype(float), np.array([0.1, 0.5, 0.5])
    spends = np.linspace(0.001, 0.04, 50)
    batch = Walk.start(3)
    alone = [Walk.start() for _ in range(3)]
    for row, spend in zip(failures, spends, strict=True):
        batch = batch.advance(binomial(row, shares), np.full(3, spend))
        alone = [w.advance(binomial(row[i : i + 1], shares[i : i + 1]), np.array([spend])) for i, w in enumerate(alone)]
    assert batch.boundary == pytest.approx([w.boundary[0] for w in alone], rel=1e-9)
