"""How often two versions answer the held-out rows differently."""

import numpy as np
import pytest

from include.gates.evaluation import Champion, Disagreement, Evaluation
from include.gates.outcomes import Labelled, Measured
from include.kinds.rows.disagreement import disagreement, known

ROWS = 200


def labelled(predicted) -> Labelled:
    return Labelled((0, 1), np.zeros(len(predicted), dtype="int64"), np.asarray(predicted, dtype="int64"))


def measured(predicted) -> Measured:
    return Measured(np.zeros(len(predicted)), np.asarray(predicted, dtype="float64"))


def test_labels_that_differ_are_counted():
    ours = np.zeros(ROWS)
    ours[:7] = 1
    assert disagreement(labelled(ours), labelled(np.zeros(ROWS)), None) == Disagreement(ROWS, 7)


def test_of_a_group_one_row_is_counted():
    groups = np.repeat(np.arange(ROWS // 10), 10)
    ours = (groups < 3).astype(int)
    assert disagreement(labelled(ours), labelled(np.zeros(ROWS)), groups) == Disagreement(ROWS // 10, 3)


def test_numbers_differ_when_they_are_further_apart_than_99_per_cent_of_the_rows_are():
    theirs = np.linspace(0, 100, ROWS)
    apart = np.arange(1, ROWS + 1) / 10
    assert disagreement(measured(theirs + apart), measured(theirs), None) == Disagreement(ROWS, 2, pytest.approx(19.8))


def test_versions_that_answer_alike_may_still_differ_by_what_another_form_of_the_model_rounds():
    theirs = np.linspace(0, 100, ROWS)
    found = disagreement(measured(theirs), measured(theirs), None)
    assert found.tolerance == pytest.approx(1e-4 * theirs.std()) and found.differ == 2


def test_nothing_is_known_of_no_row_or_of_numbers_that_are_none():
    assert disagreement(labelled([]), labelled([]), None) is None
    assert disagreement(measured([1.0, np.nan]), measured([1.0, 2.0]), None) is None


def evaluation(champion: Champion | None) -> Evaluation:
    return Evaluation("classification", "accuracy", ROWS, ROWS, 0.95, {}, champion=champion)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "were not answered by champion 3"),
        (evaluation(None), "were not answered by champion 3"),
        (evaluation(Champion("2", disagreement=Disagreement(ROWS, 1))), "by version 2 as well, and champion is 3 now"),
        (evaluation(Champion("3", not_comparable="champion 3 needs columns that the data no longer has: age")), "no longer has: age."),
        (evaluation(Champion("3")), "no held-out row can be compared"),
    ],
    ids=["no evaluation", "no champion", "another champion", "not comparable", "no row"],
)
def test_why_nothing_is_known_of_a_champion_is_a_sentence(found, says):
    disagrees, why = known(found, "3")
    assert disagrees is None and says in why and why.endswith(".") and not why.endswith("..")


def test_what_is_known_is_kept_with_the_evaluation_and_what_is_not_leaves_it_as_it_was():
    kept = evaluation(Champion("3", disagreement=Disagreement(ROWS, 1, 0.5)))
    assert Evaluation.from_json(kept.to_json()) == kept
    assert known(kept, "3") == (Disagreement(ROWS, 1, 0.5), "")
    assert "disagreement" not in evaluation(Champion("3")).to_json()["champion"]
