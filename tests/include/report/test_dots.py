"""The scale of a figure's dots."""

import re

import pytest

from include.gates.evaluation import Score
from include.report.dots import Row, dots


@pytest.mark.parametrize(
    ("score", "ends"),
    [
        (Score(0.97, 0.94, 1.0), ("0.935", "1")),
        (Score(0.0, 0.0, 0.02), ("0", "0.0216")),
        (Score(-0.5, -1.0, 0.0), ("-1.08", "0.08")),
        (Score(3.0, 2.0, 4.0), ("1.84", "4.16")),
    ],
)
def test_a_share_stays_between_0_and_1_and_a_size_above_0(score, ends):
    drawn = dots("Metrics", [Row("score", score)], shared=False)
    assert tuple(re.findall(r"label faint[^>]*>([^<]+)<", drawn)) == ends
