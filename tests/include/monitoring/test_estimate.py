"""The loss estimated by confidence: calibration, what it sees and what it can't, and labels that refute it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from include.monitoring.estimate import Calibration, EstimateTest, surely
from include.monitoring.watching import State

ROWS = 4_000


def held_out(rng, rows: int = ROWS, least: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, evenly from ``least`` to 1, that is right as often as it says."""
    confidence = rng.uniform(least, 1, rows)
    return confidence, (rng.random(rows) > confidence).astype(float)


def test_what_is_calibrated_is_what_held_out_rows_had():
    confidence, loss = held_out(np.random.default_rng(1))
    found = Calibration.fit(confidence, loss)
    assert found.expected(confidence).mean() == pytest.approx(loss.mean())
    assert list(found.loss) == sorted(found.loss, reverse=True)
    assert sum(found.rows) == sum(found.counts(confidence)) == ROWS
    assert np.abs(found.expected(np.array([0.6, 0.75, 0.95])) - [0.4, 0.25, 0.05]).max() < 0.08


def test_an_overconfident_model_is_taken_at_its_record():
    rng = np.random.default_rng(2)
    confidence, _ = held_out(rng)
    loss = (rng.random(ROWS) < 0.3).astype(float)  # its confidence says nothing
    found = Calibration.fit(np.sqrt(confidence), loss)
    assert max(found.expected(np.array([0.75, 0.9, 1.0]))) < 0.35


@pytest.mark.parametrize("confidence", [np.full(500, 0.9), np.array([0.7])])
def test_a_constant_confidence_is_one_block(confidence):
    found = Calibration.fit(confidence, np.arange(len(confidence)) % 2 * 1.0)
    assert len(found.loss) == 1 and found.edges == ()
    assert found.counts(np.array([0.1, 0.9])) == [2]


def looks(state: State, rng, confidence_of, wrong_of, count: int, rows: int = 200, labelled: bool = False) -> list[State]:
    """The states after each of ``count`` looks."""
    found = []
    for _ in range(count):
        confidence = confidence_of(rows)
        loss = (rng.random(rows) < wrong_of(confidence)).astype(float) if labelled else np.zeros(0)
        state = state.observe(state.summary(confidence, loss, confidence if labelled else None))
        found.append(state)
    return found


def test_rows_that_are_harder_are_found_without_labels_and_as_they_were_are_not():
    rng = np.random.default_rng(4)
    alarmed = {"as before": 0, "harder": 0}
    for _ in range(20):
        confidence, loss = held_out(rng)
        state = State.start(loss, Calibration.fit(confidence, loss), 0.02)
        for name, least in (("as before", 0.5), ("harder", 0.3)):
            draw = lambda rows, least=least: np.maximum(rng.uniform(least, 1, rows), 0.5)  # noqa: E731
            after = looks(state, rng, draw, lambda c: 1 - c, 60)
            alarmed[name] += any(one.estimate.proven for one in after)
    assert alarmed["as before"] == 0
    assert alarmed["harder"] >= 19


def test_labels_that_say_otherwise_refute_the_estimate():
    rng = np.random.default_rng(5)
    confidence, loss = held_out(rng)
    state = State.start(loss, Calibration.fit(confidence, loss), 0.02)
    wrong = looks(state, rng, lambda rows: rng.uniform(0.5, 0.7, rows), lambda c: 0 * c + 0.1, 20, labelled=True)[-1]
    assert wrong.refuted and not wrong.harm.proven[0]
    right = looks(state, rng, lambda rows: rng.uniform(0.5, 1, rows), lambda c: 1 - c, 100, labelled=True)[-1]
    assert not right.refuted


def test_rows_that_fall_as_the_held_out_ones_leave_no_doubt():
    loss, rows = np.array([[0.4, 0.1]]), np.array([[100.0, 300.0]])
    assert surely(np.array([[10.0, 30.0]]), loss, rows)[0] == pytest.approx(0.175)
    assert surely(np.array([[40.0, 0.0]]), loss, rows)[0] < 0.4 - 0.05
    assert surely(np.array([[0.0, 0.0]]), loss, rows)[0] == 0


def test_the_state_goes_through_json_unchanged():
    rng = np.random.default_rng(6)
    confidence, loss = held_out(rng)
    state = looks(
        State.start(loss, Calibration.fit(confidence, loss), 0.02), rng, lambda rows: rng.uniform(0.5, 1, rows), lambda c: 1 - c, 3
    )[-1]
    again = State.from_json(json.loads(json.dumps(state.to_json())))
    assert again.to_json() == state.to_json()
    assert EstimateTest.from_json(state.estimate.to_json()).proven == state.estimate.proven


def test_confidence_of_32_bits_falls_into_the_block_that_it_was_calibrated_in():
    rng = np.random.default_rng(3)
    confidence = np.array([0.7, 0.8, 0.9, 0.95, 0.99])[rng.integers(0, 5, ROWS)]
    found = Calibration.fit(confidence, (rng.random(ROWS) > confidence).astype(float))
    served = confidence.astype("float32").astype("float64")
    assert len(found.edges) > 1 and (found.block(served) == found.block(confidence)).all()
