"""Krippendorff's alpha, against the figures of his own paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.labels.agreement import alpha

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, values missing.
OBSERVERS = [
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
]
UNITS = [[value for value in unit if value is not None] for unit in zip(*OBSERVERS, strict=True)]


def test_the_paper_s_own_figures():
    assert alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert alpha(UNITS, numbers=True) == pytest.approx(0.849, abs=5e-4)


def test_two_observers_of_his_first_example():
    a, b = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    assert alpha(zip(a, b, strict=True)) == pytest.approx(0.095, abs=5e-4)


def test_what_one_person_labelled_or_everybody_alike_says_nothing():
    assert alpha([["a"], ["b"], []]) is None
    assert alpha([["a", "a"], ["a", "a"]]) is None


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=4), min_size=1, max_size=20))
def test_it_is_1_for_full_agreement_alone(units):
    found = alpha(units)
    agree = all(len(set(unit)) == 1 for unit in units)
    assert found is None or ((found == 1) == agree and found <= 1)
