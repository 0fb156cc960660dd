"""What a served model refuses, in a sentence that names the input."""

import numpy as np
import pytest

from include.bundles.limits import Limit, refusal

FLOATS = np.array([[1.0, 2.0]], dtype="float32")


@pytest.mark.parametrize(
    ("limit", "values", "said"),
    [
        (Limit(missing=False), [np.nan], "is missing (NaN)"),
        (Limit(infinite=False), [np.inf], "too large for FP32"),
        (Limit(low=0.0), [-1.0], "only known from 0 on"),
        (Limit(high=1.0), [2.0], "only known up to 1"),
        (Limit(high=1700000123.5), [2e9], "only known up to 1700000123.5"),
        (Limit(known=(1, 2)), [3.0], "does not know; it knows 1, 2"),
    ],
)
def test_a_number_outside_its_limit_is_refused_by_column(limit: Limit, values: list[float], said: str) -> None:
    rows = np.array([[0.5, value] for value in values], dtype="float32")
    sentence = refusal({"b": limit}, ("a", "b"), {"input": rows})
    assert sentence.startswith("input 'input', column 'b' ") and said in sentence
    assert refusal({"b": limit}, ("a", "b"), {"input": np.array([[np.nan, 1.0]], dtype="float32")}) == ""


def test_a_text_outside_its_limit_is_refused_by_input() -> None:
    limits = {"plan": Limit(missing=False, known=("basic", "pro"))}
    assert refusal(limits, ("plan",), {"plan": np.array([["basic"], ["pro"]], dtype=object)}) == ""
    assert "input 'plan' is 'plus', which the model does not know" in refusal(
        limits, ("plan",), {"plan": np.array([["plus"]], dtype=object)}
    )
    assert "empty text" in refusal(limits, ("plan",), {"plan": np.array([[""]], dtype=object)})


def test_what_has_no_limit_and_what_is_not_sent_passes() -> None:
    assert refusal({}, ("a", "b"), {"input": FLOATS}) == ""
    assert refusal({"spare": Limit(missing=False)}, ("spare",), {}) == ""
