"""Whether choosing pays, and when it is switched off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.labels.gain import FEWEST, PROVEN_BY, decide, measure, read, saved_pct

SIZES = [0, 20, 40, 60]


@pytest.mark.parametrize(
    ("chosen", "control", "percent"),
    [
        ([0.5, 0.8, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8], 100 * (60 - 20) / 60),
        ([0.5, 0.6, 0.7, 0.8], [0.5, 0.8, 0.9, 0.9], -100 * (60 - 20) / 60),
        ([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8], 0),
        ([0.5, 0.7, 0.6, 0.8], [0.5, 0.5, 0.5, 0.7], 100 * (60 - 20) / 60),
        ([0.5, 0.4, 0.4, 0.4], [0.5, 0.6, 0.7, 0.8], 0),
    ],
)
def test_labels_saved_are_read_off_the_curves_at_the_accuracy_that_both_come_to(chosen, control, percent):
    assert saved_pct(chosen, control, SIZES) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("labels", "saved", "goes_on"),
    [
        (FEWEST - 1, None, True),
        (30, (10.0, -20.0, 40.0), True),
        (30, (-30.0, -50.0, -10.0), False),
        (PROVEN_BY, (10.0, -20.0, 40.0), False),
        (PROVEN_BY, (30.0, 10.0, 50.0), True),
    ],
)
def test_choosing_goes_on_until_it_proves_worse_or_has_had_its_chance(labels, saved, goes_on):
    found = decide(labels, saved, None if saved is None else (0.9, 0.8))
    assert found.goes_on is goes_on and ("at random from now on" in found.why) is not goes_on


def test_of_a_model_without_a_round_rows_are_chosen(tmp_path):
    assert read(tmp_path / "gain.json").goes_on
    (tmp_path / "gain.json").write_text('{"torn": ')
    assert read(tmp_path / "gain.json").goes_on


def rows(rng, count, wrong=0.0):
    """Two classes, apart by the sum of the columns."""
    x = rng.normal(size=(count, 6))
    y = (x @ [3, -2, 1, 1, -1, 0.5] > 0) != (rng.random(count) < wrong)
    return pd.DataFrame(x, columns=list("abcdef")).assign(t="x"), ["yes" if one else "no" for one in y]


def test_rows_that_teach_save_labels_against_rows_that_mislead():
    rng = np.random.default_rng(3)
    source, test = rows(rng, 12), rows(rng, 400)
    good, bad = rows(rng, 120), rows(rng, 120, wrong=0.4)
    found = measure(source, good, bad, test)
    assert found.goes_on and found.low > 0 and found.chosen_accuracy > found.control_accuracy and "Choosing pays" in found.why
    worse = measure(source, bad, good, test)
    assert not worse.goes_on and worse.high < 0
    assert measure(source, good, bad, test) == found
    assert measure(source, rows(rng, 5), bad, test).saved_pct is None
