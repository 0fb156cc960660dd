import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from include.gates.slices import slices


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60))
@settings(deadline=None)
def test_every_row_is_in_one_part(values: list[str | None]) -> None:
    masks = [mask for _, mask in slices(pd.Series(values, dtype=object))]
    assert (np.sum(masks, axis=0) == 1).all()


def test_parts_are_named_by_value_largest_first() -> None:
    assert [name for name, _ in slices(pd.Series(["x", "y", "y", None]))] == ["y", "missing", "x"]


def test_few_numbers_are_values_and_many_are_quartiles() -> None:
    assert [name for name, _ in slices(pd.Series([1, 2, 2]))] == ["2", "1"]
    quartiles = slices(pd.Series(np.arange(100.0)))
    assert [int(mask.sum()) for _, mask in quartiles] == [25, 25, 25, 25]


def test_true_and_false_are_parts() -> None:
    assert {name for name, _ in slices(pd.Series([True, False, True]))} == {"True", "False"}


def test_only_the_most_frequent_values_of_a_column_are_shown() -> None:
    names = [f"v{n:03}" for n in range(200)]
    assert len(slices(pd.Series(names + names[:60]))) == 50
