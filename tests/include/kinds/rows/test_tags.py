"""Several labels of a row as one text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.gates.outcomes import Tagged
from include.kinds.registry import kind_of
from include.kinds.rows import answers, tags
from include.kinds.rows.answers import Answers
from include.kinds.rows.disagreement import disagreement
from include.kinds.rows.rows import target
from include.kinds.tensor.spec import TensorSpec
from include.spec.schema import Task


@pytest.mark.parametrize(
    ("value", "text"), [(["b", "a", "b"], "a|b"), ("b | a", "a|b"), ([], ""), ("", ""), (np.array(["x"]), "x"), ((1, 2), "1|2")], ids=str
)
def test_labels_are_sorted_and_stand_once(value: Any, text: str) -> None:
    assert tags.read(value) == text and tags.joined(tags.parts(text)) == text


@pytest.mark.parametrize(
    ("value", "says"), [(["a|b"], "row 2"), ("a||b", "is empty"), (7, "no list of labels"), (b"a", "no list of labels")], ids=str
)
def test_what_is_no_list_of_labels_is_named_by_its_row(value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        target(pd.Series(["a", value], name="y"), Task.MULTILABEL)


def test_answers_stand_beside_the_truth_label_by_label() -> None:
    y = pd.Series(["a|b", "", "c"])
    said = Answers(np.array(["a", "", "c|d"], dtype=object), np.array([[0.9, 0.2], [0.1, 0.1], [0.3, 0.4]]), ("a", "b"))
    known = answers.known_labels(Task.MULTILABEL, y, said)
    found = answers.outcome_of(Task.MULTILABEL, said, y, known)
    assert isinstance(found, Tagged) and found.labels == ("a", "b", "c", "d") == known
    assert found.truth.tolist() == [[True, True, False, False], [False] * 4, [False, False, True, False]]
    assert found.predicted.tolist() == [[True, False, False, False], [False] * 4, [False, False, True, True]]
    assert found.probabilities is not None and found.probabilities[0].tolist() == [0.9, 0.2, 0, 0]


def test_versions_differ_where_any_label_does() -> None:
    ours = Tagged(("a", "b"), np.zeros((3, 2), bool), np.array([[True, False], [True, True], [False, False]]))
    theirs = Tagged(("a", "b"), np.zeros((3, 2), bool), np.array([[True, True], [True, True], [False, False]]))
    found = disagreement(ours, theirs, None)
    assert found is not None and (found.rows, found.differ, found.tolerance) == (3, 1, None)


@pytest.mark.parametrize(
    ("label", "says"),
    [("a|b", ""), ("", ""), ("b|a", "write the labels in their order, 'a|b'"), (3, "texts of labels"), ("a||b", "is empty")],
    ids=repr,
)
def test_what_turned_out_to_be_right_is_written_as_answers_are(label: Any, says: str) -> None:
    said = {"name": "m", "kind": "tensor", "task": "multilabel", "data": {"source": "a:b", "target": "y"}}
    spec = TensorSpec.model_validate(said)
    assert says in kind_of(spec).label_fault(spec, label, "a") and bool(says) == bool(kind_of(spec).label_fault(spec, label, "a"))
