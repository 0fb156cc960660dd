"""The bets on prompts that both arms were asked: how often they are wrong, how soon they are right."""

import json
import math

import numpy as np
import pytest

from include.canary import asked
from include.canary.asked import Asked, Example

pytestmark = pytest.mark.slow

ALPHA = 0.05


def alarms(worse: float, better: float, margin: float, prompts: int = 300, runs: int = 1000, seed: int = 0) -> float:
    """Share of trials with an alarm at any of their prompts, each judged by itself as it comes."""
    outcomes = np.random.default_rng(seed).choice([0, 1, 2], p=[worse, 1 - worse - better, better], size=(runs, prompts))
    counts = np.stack([(outcomes == kind).cumsum(axis=1) for kind in range(3)], axis=-1)
    worth = {}
    alarmed = 0
    for trial in counts:
        for row in np.unique(trial, axis=0):
            key = tuple(int(count) for count in row)
            if key not in worth:
                worth[key] = asked.crossed(*key, margin, ALPHA)
            if worth[key]:
                alarmed += 1
                break
    return alarmed / runs


@pytest.mark.parametrize(("worse", "better", "margin"), [(0.2, 0.2, 0.0), (0.01, 0.01, 0.0), (0.1, 0.05, 0.05), (0.05, 0.0, 0.05)])
def test_a_canary_worse_by_no_more_than_the_margin_is_rarely_found_worse_however_often_one_looks(worse, better, margin):
    assert alarms(worse, better, margin) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 1000)


def test_one_that_is_plainly_worse_is_found_with_few_prompts():
    assert alarms(0.5, 0.02, 0.05, prompts=60, runs=200) >= 0.99


def test_a_fourth_more_wrong_answers_are_found_among_two_hundred():
    assert alarms(0.3, 0.05, 0.05, prompts=200, runs=200) >= 0.95


def test_nothing_is_known_of_no_prompt():
    assert asked.log_worth(0, 0, 0, 0.05) == pytest.approx(0)
    assert asked.lower(0, 0, 0, ALPHA) == pytest.approx(-1)


def test_the_bound_is_where_the_bet_is_won():
    bound = asked.lower(40, 60, 0, ALPHA)
    assert 0.15 < bound < 0.4
    assert asked.crossed(40, 60, 0, bound - 1e-3, ALPHA)
    assert not asked.crossed(40, 60, 0, bound + 1e-3, ALPHA)


def test_each_worse_answer_adds_to_the_evidence_and_each_better_one_takes_from_it():
    before = asked.log_worth(10, 20, 2, 0.05)
    assert asked.log_worth(11, 20, 2, 0.05) > before > asked.log_worth(10, 20, 3, 0.05)
    assert asked.log_worth(10, 21, 2, 0.05) < before


def test_the_margin_may_be_almost_everything():
    assert not asked.crossed(50, 50, 0, 0.99, ALPHA)
    assert math.isfinite(asked.log_worth(0, 500, 500, 0.99))


def test_counts_add_up_and_examples_are_bounded():
    one = Asked(prompts=1, known=1, lost=1, unlike=1, examples=(Example("What is 1 + 1?", "2", "2", "3"),))
    many = sum([one] * 50, Asked())
    assert (many.prompts, many.lost, many.unlike, len(many.examples)) == (50, 50, 50, asked.SHOWN)
    assert Asked.from_json(json.loads(json.dumps(many.to_json()))) == many
