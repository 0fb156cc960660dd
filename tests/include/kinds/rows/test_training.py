"""A model's figures on the rows that it has learnt from."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.rows.answers import Answers
from include.kinds.rows.training import training_metrics
from include.spec.schema import ModelSpec

FORM = {"name": "w", "task": "regression", "data": {"source": "x.csv", "target": "y"}}
SPEC = ModelSpec.model_validate_json(json.dumps(FORM))


def test_rows_that_are_answered_by_no_number_are_counted() -> None:
    said = Answers(np.array([1.0, np.nan, np.inf, 4.0]))
    with pytest.raises(InputError, match=r"^base m\.onnx: the model answers NaN or infinity for 2 of 4 training rows\."):
        training_metrics(SPEC, said, pd.Series([1.0, 2.0, 3.0, 4.0]), "base m.onnx")


def test_a_score_that_is_no_number_is_a_fault_where_there_must_be_one() -> None:
    said, y = Answers(np.array([1.0, 2.0])), pd.Series([3.0, 3.0])
    with pytest.raises(InputError, match=r"r2 on the training rows is nan\. The target must vary"):
        training_metrics(SPEC, said, y, "train.entry train:train")
    found = training_metrics(SPEC, said, y, "train.entry train:train", must_score=False)
    assert found["mae"] == 1.5 and "r2" not in found
