"""The test of the mean loss: what it promises over a life, and what it finds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from include.monitoring.harm import HarmTest, life_weight, upper_mean

MODELS, ALPHA = 1_000, 0.05


def ever(test: HarmTest, losses, looks: int, rows: int) -> float:
    """Share of models that are ever alarmed; ``losses(look)`` [models, 2]: how many rows were right and wrong."""
    alarmed = np.zeros(len(test.accepted), dtype=bool)
    values = np.broadcast_to([0.0, 1.0], (len(test.accepted), 2))
    logs = test.logs(values)
    for look in range(looks):
        wrong = losses(look)
        test = test.observe(np.einsum("ml,mls->ms", np.stack([rows - wrong, wrong], axis=1), logs), np.full(len(wrong), float(rows)))
        alarmed |= test.proven
    return float(alarmed.mean())


@pytest.mark.parametrize("rows", [50, 333, 2_000])
@pytest.mark.parametrize("accepted", [0.02, 0.3])
def test_a_loss_that_is_just_accepted_alarms_no_more_than_alpha_of_a_thousand_looks(rows, accepted):
    rng = np.random.default_rng([rows, int(100 * accepted)])
    share = ever(
        HarmTest.start(np.full(MODELS, accepted), ALPHA), lambda _: rng.binomial(rows, accepted, MODELS).astype(float), 1_000, rows
    )
    assert share <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / MODELS)


@pytest.mark.parametrize("calm", [0, 500])
def test_a_harm_is_found_whenever_it_begins(calm):
    rng = np.random.default_rng(calm)
    test = HarmTest.start(np.full(200, 0.1), ALPHA)
    share = ever(test, lambda look: rng.binomial(100, 0.08 if look < calm else 0.16, 200).astype(float), calm + 30, 100)
    assert share >= 0.95


def test_a_look_may_have_any_number_of_rows():
    rng = np.random.default_rng(3)
    losses = (rng.random((1, 600)) < 0.3).astype(float)
    apart, whole = HarmTest.start([0.1], ALPHA), HarmTest.start([0.1], ALPHA).see(losses)
    for part in np.split(losses, [1, 50, 120, 400], axis=1):
        apart = apart.see(part)
    assert whole.proven[0] and apart.proven[0]
    assert whole.rows[0] == apart.rows[0] == 600


def test_a_look_without_rows_changes_nothing():
    test = HarmTest.start([0.1], ALPHA).see(np.ones((1, 3)))
    after = test.observe(np.zeros((1, 6)), np.zeros(1))
    assert after.to_json() == test.to_json()


def test_evidence_falls_again_once_the_harm_has_passed():
    test = HarmTest.start([0.1], ALPHA).see(np.ones((1, 500)))
    assert test.proven[0]
    assert not test.see(np.zeros((1, 500))).proven[0]


def test_the_state_goes_through_json_unchanged():
    test = HarmTest.start([0.1], ALPHA).see(np.tile([0.0, 1.0, 0.3], (1, 20)))
    again = HarmTest.from_json(json.loads(json.dumps(test.to_json())))
    assert again.to_json() == test.to_json()
    assert again.see(np.ones((1, 9))).to_json() == test.see(np.ones((1, 9))).to_json()


def test_the_weights_of_a_life_add_up_to_one():
    ends = np.cumsum([0, 50, 1, 10_000, 10**9, 10**13], dtype=float)
    assert life_weight(ends[:-1], ends[1:]).sum() == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4])
def test_the_upper_mean_holds_the_true_one(share):
    rng = np.random.default_rng(1)
    draws = (rng.random((2_000, 400)) < share).astype(float)
    missed = np.mean([upper_mean(row.mean(), row.std(), 400, 2.33) < share for row in draws])
    assert missed <= 0.01 + 2 * np.sqrt(0.01 / 2_000)


def test_no_rows_bound_nothing():
    assert upper_mean(0.0, 0.0, 0, 2.33) == 1.0
