"""The judge's sentences read right at both ends of their figures."""

import pytest

from include.canary import wording


@pytest.mark.parametrize(
    ("harm", "told"),
    [(0.05, "at most 5 % slower"), (0.0, "at most 0 % slower"), (-0.028, "at least 2.8 % faster"), (2.0, "at most 200 % slower")],
)
def test_an_upper_bound_below_zero_is_a_gain(harm: float, told: str) -> None:
    assert wording.at_most_slower(harm) == told
