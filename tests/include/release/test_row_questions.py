"""Which row of a live request counts, and when two answers to it are alike."""

import json

import pytest

from include.canary.compared import Compared
from include.canary.observations import Sample
from include.release.row_questions import SHOWN_CHARACTERS, LiveRow, RowQuestions, alike


def request(rows: int = 3, **more) -> LiveRow:
    body = {
        "inputs": [
            {"name": "age", "datatype": "FP32", "shape": [rows, 1], "data": [[float(30 + number)] for number in range(rows)]},
            {"name": "mail", "datatype": "BYTES", "shape": [rows, 1], "data": [f"p{number}@posteo.de" for number in range(rows)]},
        ],
        **more,
    }
    found = LiveRow.parse(json.dumps(body).encode())
    assert found is not None
    return found


def outputs(*labels, name: str = "label"):
    return RowQuestions("m", None).answer({"outputs": [{"name": name, "shape": [len(labels), 1], "data": list(labels)}]})


def test_the_row_that_counts_follows_from_the_request_alone_and_is_known_again_in_another_request():
    found = request()
    assert found == request() and 0 <= found.number < 3
    assert found.inputs == {"age": (30.0 + found.number,), "mail": (f"p{found.number}@posteo.de",)}
    assert len({request(rows=3, id=str(number)).number for number in range(50)}) == 3
    assert len({request(rows=3, id=str(number)).id for number in range(50)}) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        b"{}",
        b'{"inputs": []}',
        b'{"inputs": [{"name": "a", "shape": [2, 1], "data": [1]}]}',
        b'{"inputs": [{"name": "a", "shape": [1, 1], "parameters": {"binary_data_size": 4}}]}',
        b'{"inputs": [{"name": "a", "shape": [1, 1], "data": [1]}, {"name": "b", "shape": [2, 1], "data": [1, 2]}]}',
        b'{"inputs": [{"name": "a", "shape": [0, 1], "data": []}]}',
        b'{"inputs": [{"name": "a", "shape": [], "data": [1]}]}',
        b"[" * 100_000,
    ],
    ids=["text", "list", "empty", "no input", "short", "binary", "uneven", "no row", "scalar", "deep"],
)
def test_what_cannot_be_asked_again_as_rows_is_not_recorded(body):
    assert LiveRow.parse(body) is None


def test_both_answers_stand_beside_the_row_and_personal_data_is_masked_as_in_chats():
    asked = request()
    found = RowQuestions("m", None).compared(asked, outputs(1, 1, 1), outputs(0, 0, 0)).compared
    [pair] = found.examples
    assert (found.rows, found.differ, pair.stable, pair.canary) == (1, 1, "1", "0")
    assert pair.row == f"age {30 + asked.number}, mail [emails]"
    others = {"label": [1, 1, 1]}
    others["label"][(asked.number + 1) % 3] = 0  # another row of the request differs: it doesn't count
    assert RowQuestions("m", None).compared(asked, outputs(1, 1, 1), outputs(*others["label"])) == Sample(compared=Compared(1))


def test_what_no_log_may_hold_stands_in_no_example():
    asked = request()
    [pair] = RowQuestions("m", None, ["mail"]).compared(asked, outputs(1, 1, 1), outputs(0, 0, 0)).compared.examples
    assert pair.row == f"age {30 + asked.number}, mail not shown" and (pair.stable, pair.canary) == ("1", "0")
    [pair] = RowQuestions("m", None, ["outputs.label"]).compared(asked, outputs(1, 1, 1), outputs(0, 0, 0)).compared.examples
    assert (pair.stable, pair.canary) == ("not shown", "not shown")
    whole = LiveRow.parse(json.dumps({"inputs": [{"name": "input", "shape": [1, 2], "data": [1.5, 2.5]}]}).encode())
    [pair] = RowQuestions("m", None, ["income"]).compared(whole, outputs(1), outputs(0)).compared.examples
    assert pair.row == "input not shown"


def test_a_row_of_many_features_is_shown_in_part():
    wide = LiveRow.parse(json.dumps({"inputs": [{"name": "input", "shape": [1, 5000], "data": [0.123456] * 5000}]}).encode())
    [pair] = RowQuestions("m", None).compared(wide, outputs(1), outputs(0)).compared.examples
    assert len(pair.row) == SHOWN_CHARACTERS + 1


@pytest.mark.parametrize("canary", [outputs(1, 1), outputs(1, 1, 1, name="other")], ids=["too few rows", "no label"])
def test_a_canary_that_gives_no_label_differs_and_a_stable_that_gives_none_says_nothing(canary):
    questions, asked = RowQuestions("m", None), request()
    assert questions.compared(asked, outputs(1, 1, 1), canary).compared.differ == 1
    assert questions.compared(asked, canary, outputs(1, 1, 1)) == Sample()


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance", "same"),
    [
        ((1,), (1,), None, True),
        (("cat",), ("dog",), None, False),
        ((1.0,), (1.4,), 0.5, True),
        ((1.0,), (1.6,), 0.5, False),
        ((float("nan"),), (1.0,), 0.5, False),
        ((float("nan"),), (float("nan"),), 0.5, True),
        ((float("inf"),), (float("inf"),), 0.5, True),
        ((None,), (1.0,), 0.5, False),
        ((1.0, 2.0), (1.0,), 0.5, False),
    ],
)
def test_labels_are_equal_and_numbers_near(ours, theirs, tolerance, same):
    assert alike(ours, theirs, tolerance) is same
