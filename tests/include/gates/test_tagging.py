"""Metrics of answers that give a row several labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from include.gates.metrics import metric_named, metrics_of
from include.gates.outcomes import Tagged
from include.gates.paired import estimate
from include.spec.schema import Task


def tagged(seed: int, rows: int, labels: int) -> Tagged:
    chance = np.random.default_rng(seed)
    truth = chance.random((rows, labels)) < 0.4
    truth[0], truth[1] = True, False
    probabilities = np.round(np.clip(truth * 0.4 + chance.random((rows, labels)) * 0.6, 0, 1), 2)
    return Tagged(tuple(f"l{number}" for number in range(labels)), truth, probabilities >= 0.5, probabilities)


@given(seed=st.integers(0, 10_000), rows=st.integers(6, 80), labels=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_they_are_scikit_learns(seed: int, rows: int, labels: int) -> None:
    o = tagged(seed, rows, labels)
    found = {name: estimate(metric, o) for name, metric in metrics_of(Task.MULTILABEL).items()}
    truth, said = o.truth.astype(int), o.predicted.astype(int)
    assert found["f1_macro"] == pytest.approx(reference.f1_score(truth, said, average="macro", zero_division=0))
    assert found["f1_micro"] == pytest.approx(reference.f1_score(truth, said, average="micro"))
    assert found["exact_match"] == pytest.approx(reference.accuracy_score(truth, said))
    assert found["jaccard"] == pytest.approx(reference.jaccard_score(truth, said, average="samples", zero_division=1))
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(truth, said))
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(truth, o.probabilities, average="macro"))
    one = metric_named(Task.MULTILABEL, "recall/l1")
    assert one is not None and estimate(one, o) == pytest.approx(reference.recall_score(truth[:, 1], said[:, 1]))


def test_a_label_that_no_row_has_and_none_is_given_does_not_count() -> None:
    truth = np.array([[True, False], [True, False]])
    assert estimate(metrics_of(Task.MULTILABEL)["f1_macro"], Tagged(("a", "b"), truth, truth)) == 1.0
    unknown = metric_named(Task.MULTILABEL, "f1/c")
    assert unknown is not None and np.isnan(estimate(unknown, Tagged(("a", "b"), truth, truth)))
