import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from include.gates.metrics import metrics_of
from include.gates.outcomes import Answered, Labelled, Measured
from include.gates.paired import compare, mcnemar_p, resamples, score, tango_p, wilson
from include.spec.schema import Task

CLASSES, NUMBERS = metrics_of(Task.CLASSIFICATION), metrics_of(Task.REGRESSION)
counts = st.integers(0, 200)


def right(pattern: np.ndarray) -> Labelled:
    """Two classes, truth all 0; right where ``pattern`` is true."""
    return Labelled((0, 1), np.zeros(len(pattern), dtype=int), (~pattern).astype(int))


@given(gained=counts, lost=counts)
def test_mcnemar_is_the_exact_binomial_tail(gained: int, lost: int) -> None:
    if gained + lost:
        assert mcnemar_p(gained, lost) == pytest.approx(binomtest(lost, gained + lost, 0.5, alternative="greater").pvalue)
    else:
        assert mcnemar_p(gained, lost) == 1.0


@given(gained=counts, lost=counts)
def test_mcnemar_is_symmetric(gained: int, lost: int) -> None:
    at_least_one_way = mcnemar_p(gained, lost) + mcnemar_p(lost, gained)
    n = gained + lost
    tie = math.exp(math.lgamma(n + 1) - 2 * math.lgamma(n / 2 + 1) - n * math.log(2)) if gained == lost else 0.0
    # The two tails overlap in the observed outcome itself.
    overlap = math.exp(math.lgamma(n + 1) - math.lgamma(gained + 1) - math.lgamma(lost + 1) - n * math.log(2))
    assert at_least_one_way == pytest.approx(1 + overlap) and (gained != lost or overlap == pytest.approx(tie))


@given(gained=st.integers(0, 100), lost=st.integers(0, 100), extra=st.integers(1, 20))
def test_losing_more_rows_is_never_less_suspicious(gained: int, lost: int, extra: int) -> None:
    assert mcnemar_p(gained, lost + extra) <= mcnemar_p(gained, lost) + 1e-12


@given(gained=st.integers(0, 100), lost=st.integers(0, 100))
def test_tango_without_margin_is_mcnemars_score_test(gained: int, lost: int) -> None:
    if gained + lost:
        z = (gained - lost) / math.sqrt(gained + lost)
        assert tango_p(gained, lost, 300, 0.0) == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2)), abs=1e-9)


def test_tango_matches_the_papers_example() -> None:
    """Tango 1998, the trial of two soft contact lens disinfectants: 1 lost and 0 gained of 44 pairs, margin 0.1: z = 1.709."""
    assert tango_p(0, 1, 44, 0.1) == pytest.approx(1 - 0.0437, abs=0.001)


@given(gained=st.integers(0, 60), lost=st.integers(1, 60), margin=st.floats(0.001, 0.3))
def test_a_margin_makes_worse_harder_to_show(gained: int, lost: int, margin: float) -> None:
    assert tango_p(gained, lost, 300, margin) >= tango_p(gained, lost, 300, 0.0) - 1e-9


def test_mcnemar_raises_false_alarms_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(0)
    losses = rng.binomial(40, 0.5, 4000)
    assert np.mean([mcnemar_p(40 - int(lost), int(lost)) <= 0.05 for lost in losses]) <= 0.05


@given(successes=st.integers(0, 500), failures=st.integers(0, 500), confidence=st.floats(0.55, 0.999))
def test_wilsons_interval_holds_the_estimate_and_stays_in_0_1(successes: int, failures: int, confidence: float) -> None:
    n = successes + failures
    if n:
        low, high = wilson(successes, n, confidence)
        assert 0 <= low <= successes / n <= high <= 1


def test_wilsons_interval_is_the_books() -> None:
    found = binomtest(81, 263).proportion_ci(0.95, method="wilson")
    assert wilson(81, 263, 0.95) == pytest.approx((found.low, found.high))


@given(seed=st.integers(0, 1000), rows=st.integers(3, 60))
@settings(max_examples=30, deadline=None)
def test_every_interval_holds_its_estimate(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1, 1, 1], rows)
    labelled = Labelled((0, 1, 2), rng.integers(0, 3, rows), probabilities.argmax(axis=1), probabilities)
    measured = Measured(rng.normal(0, 1, rows), rng.normal(0, 1, rows))
    for metrics, outcome in ((CLASSES, labelled), (NUMBERS, measured)):
        for metric in metrics.values():
            found = score(metric, outcome, 0.9)
            assert found.value is None or found.low <= found.value <= found.high


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        truth = rng.normal(0, 1, 80)
        found = score(NUMBERS["mae"], Measured(truth, truth + rng.normal(0, 1, 80)), 0.9)
        covered.append(found.low <= math.sqrt(2 / math.pi) <= found.high)
    assert 0.82 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_a_model_is_not_worse_than_itself(metric: str) -> None:
    own = right(np.arange(100) % 5 > 0)
    found = compare(CLASSES[metric], own, own, 0.0, 0.95)
    assert found.difference == 0 and found.p_worse == 1.0


def test_fewer_right_rows_are_worse_and_more_are_not() -> None:
    good, bad = right(np.arange(200) % 10 > 0), right(np.arange(200) % 10 > 2)
    worse, better = compare(CLASSES["accuracy"], bad, good, 0.0, 0.95), compare(CLASSES["accuracy"], good, bad, 0.0, 0.95)
    assert worse.p_worse < 1e-9 and worse.difference == pytest.approx(-0.2) and worse.high < 0
    assert better.p_worse == pytest.approx(1.0) and better.low > 0
    assert compare(CLASSES["accuracy"], bad, good, 0.3, 0.95).p_worse > 0.5


def test_where_less_is_better_a_positive_difference_still_means_better() -> None:
    truth = np.zeros(50)
    near, far = Measured(truth, truth + np.linspace(0.1, 0.2, 50)), Measured(truth, truth + np.linspace(1, 2, 50))
    assert compare(NUMBERS["mae"], near, far, 0.0, 0.95).difference > 0
    assert compare(NUMBERS["mae"], far, near, 0.0, 0.95).p_worse < 0.01


def test_rows_of_one_group_are_not_independent_evidence() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(10), 30)
    outcome = right(rng.random(10)[groups] > 0.4)
    by_rows, by_groups = score(CLASSES["accuracy"], outcome, 0.95), score(CLASSES["accuracy"], outcome, 0.95, groups)
    assert by_groups.high - by_groups.low > 2 * (by_rows.high - by_rows.low)
    assert "groups" in by_groups.method


def test_resamples_draw_as_many_rows_as_there_are_and_always_the_same() -> None:
    first, second = list(resamples(37)), list(resamples(37))
    assert all((chunk.sum(axis=1) == 37).all() for chunk in first)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert sum(len(chunk) for chunk in first) == 2000


def test_answers_of_a_language_model_are_compared_as_labels_are() -> None:
    ours, theirs = np.arange(60) < 40, np.arange(60) < 52
    chats = [Answered(right, right, right.astype(float), np.ones(60, dtype=int)) for right in (ours, theirs)]
    found = compare(metrics_of(Task.CHAT)["exact_match"], *chats, 0.0, 0.95)
    assert found.p_worse == compare(CLASSES["accuracy"], right(ours), right(theirs), 0.0, 0.95).p_worse
    assert found.method == "McNemar, exact: 0 rows gained, 12 lost"
    assert score(metrics_of(Task.CHAT)["exact_match"], chats[0], 0.95).method == "Wilson"
