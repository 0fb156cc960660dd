"""Which rows people are asked about."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.labels.choose import CONTROL, Candidate, choose
from include.labels.strange import strangeness
from include.spec.label import Strategy

SURE = (0.98, 0.01, 0.01)
UNSURE = (0.5, 0.49, 0.01)


def pool(unsure=10, sure=90, disputed=0):
    rows = [Candidate(f"u{n}", {}, {1: "a"}, UNSURE) for n in range(unsure)] + [Candidate(f"s{n}", {}, {1: "a"}, SURE) for n in range(sure)]
    return rows + [Candidate(f"d{n}", {}, {1: "a", 2: "b"}, SURE) for n in range(disputed)]


def arms(chosen):
    return Counter(str(one.arm) for one in chosen)


def test_a_quarter_is_drawn_at_random_and_the_rest_is_what_the_champion_is_least_sure_of():
    chosen = choose(pool(), 12, [Strategy.UNCERTAIN], 0.25, "run")
    assert arms(chosen) == {CONTROL: 3, "uncertain": 9}
    unsure = {one.candidate.key for one in chosen if one.candidate.key.startswith("u")}
    assert len(unsure) >= 9 and all("apart" in one.why for one in chosen if one.arm != CONTROL)


def test_the_control_arm_is_a_fair_sample_of_all_rows():
    drawn = Counter(choose(pool(), 10, [Strategy.UNCERTAIN], 0.1, f"run {n}")[0].candidate.key[0] for n in range(1000))
    assert 60 < drawn["u"] < 145  # 10 % of the rows are unsure: three standard deviations around 100


def test_strategies_share_the_places_and_one_that_finds_too_little_leaves_its_own():
    chosen = choose(pool(disputed=2), 20, [Strategy.DISAGREEING, Strategy.UNCERTAIN, Strategy.RANDOM], 0.1, "run")
    found = arms(chosen)
    assert found[CONTROL] == 2 and found["disagreeing"] <= 2 and sum(found.values()) == 20
    assert all("version 2: b" in one.why for one in chosen if one.arm == "disagreeing")


def test_without_probabilities_nothing_is_uncertain():
    rows = [Candidate(str(n), {}, {1: "a"}) for n in range(30)]
    assert arms(choose(rows, 10, [Strategy.UNCERTAIN], 0.2, "run")) == {CONTROL: 2}
    assert arms(choose(rows, 10, [Strategy.UNCERTAIN, Strategy.RANDOM], 0.2, "run")) == {CONTROL: 2, "random": 8}


def test_rows_whose_values_are_rare_or_new_are_the_drifted_ones():
    known = pd.DataFrame({"n": range(1000), "t": ["x", "y"] * 500, "few": [0, 1] * 500})
    rows = [{"n": 500, "t": "x", "few": 1.0}, {"n": 1001, "t": "x", "few": 0}, {"n": None, "t": "z", "few": 7}]
    shares = strangeness(rows, known, ["n", "t", "few"])
    assert shares == [0, pytest.approx(1 / 3), 1]
    candidates = [Candidate(str(place), row, strange=share) for place, (row, share) in enumerate(zip(rows, shares, strict=True))]
    chosen = choose(candidates, 3, [Strategy.DRIFTED], 0, "run")
    assert [one.candidate.key for one in chosen] == ["2", "1"] and chosen[0].why == "100% of its values are rare or new"


@given(st.integers(0, 40), st.integers(1, 60), st.floats(0, 1), st.lists(st.sampled_from(list(Strategy)), min_size=1, max_size=3))
def test_no_row_is_asked_about_twice_and_a_run_chooses_the_same_again(rows, count, control, strategies):
    candidates = pool(unsure=rows // 2, sure=rows - rows // 2)
    chosen = choose(candidates, count, strategies, control, "run")
    keys = [one.candidate.key for one in chosen]
    assert len(keys) == len(set(keys)) <= min(count, rows)
    assert keys == [one.candidate.key for one in choose(list(reversed(candidates)), count, strategies, control, "run")]
