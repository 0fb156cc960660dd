"""What `before` of the code around a model may give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.errors import InputError
from include.kinds.tensor.parity import near
from include.kinds.tensor.wrapper import before


class Code:
    def __init__(self, made: Any) -> None:
        self.made = made

    def before(self, inputs: dict[str, Any]) -> Any:
        return self.made

    def after(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (None, "before() gives NoneType, not the model's inputs by name"),
        ({}, "before() gives nothing"),
        ({"x": [[1.0]]}, "before() gives a list as 'x'"),
        ({"x": np.array(1.0)}, "before() gives a ndarray as 'x'"),
    ],
)
def test_what_is_no_array_by_name_is_refused(tmp_path: Path, made: Any, says: str) -> None:
    """Here as when it is trained: the server takes nothing else."""
    with pytest.raises(InputError) as refused:
        before(Code(made), {}, {"a": np.zeros(1)}, tmp_path)
    assert says in str(refused.value)


def test_arrays_by_name_are_taken(tmp_path: Path) -> None:
    made = {"x": np.zeros((1, 2))}
    assert before(Code(made), {}, {"a": np.zeros(1)}, tmp_path) is made


def test_answers_are_near_by_the_largest_of_them() -> None:
    large = np.array([1000.0, 0.0])
    assert near(large + 0.5, large) and not near(large + 5, large)
    assert near(np.array([0.0005]), np.array([0.0])) and not near(np.array([0.01]), np.array([0.0]))
    assert not near(np.zeros(2), np.zeros((2, 1))) and near(np.zeros(0), np.zeros(0))
