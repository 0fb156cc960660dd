"""A coarser form of a model is the model as long as its classes and the direction of its answers are."""

from __future__ import annotations

import numpy as np
import pytest

from include.kinds.rows.answers import Answers
from include.kinds.tensor.parity import agreement, cosine, faults


def said(*rows: tuple[float, float]) -> Answers:
    odds = np.array(rows)
    return Answers(odds.argmax(axis=1), odds, (0, 1))


def test_agreement_is_the_share_of_rows_with_the_same_class() -> None:
    assert agreement(said((0.9, 0.1), (0.4, 0.6)), said((0.6, 0.4), (0.9, 0.1))) == 0.5


def test_cosine_is_the_mean_over_rows_of_probabilities_and_one_of_all_numbers() -> None:
    assert cosine(said((1, 0), (0, 1)), said((1, 0), (1, 0))) == pytest.approx(0.5)
    assert cosine(Answers(np.array([1.0, 2.0])), Answers(np.array([2.0, 4.0]))) == pytest.approx(1)
    assert cosine(Answers(np.array([0.0, 0.0])), Answers(np.array([0.0, 0.0]))) == 1


def test_what_is_below_its_bar_is_said_and_what_is_no_number_is_never_alike() -> None:
    same, other = said((0.9, 0.1), (0.2, 0.8)), said((0.9, 0.1), (0.8, 0.2))
    assert faults(same, same, 0.98, 0.99) == ()
    assert [fault.split(" ")[0] for fault in faults(other, same, 0.98, 0.99)] == ["50.00", "the"]
    assert len(faults(Answers(np.array([float("nan"), 1.0])), Answers(np.array([1.0, 1.0])), 0.98, 0.99)) == 1
