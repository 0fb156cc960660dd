import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.kinds.rows.split import held_out, row_hashes
from tests.include.steps import samples

cells = st.one_of(st.none(), st.text(max_size=5), st.integers(-9, 9), st.floats(allow_nan=True, allow_infinity=False), st.booleans())


@given(st.lists(st.tuples(cells, st.floats(-5, 5)), min_size=2, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_rows_side_does_not_hang_on_the_other_rows_or_their_order(rows: list[tuple[object, float]], random) -> None:
    table = pd.DataFrame({"a": pd.Series([row[0] for row in rows], dtype=object), "b": [row[1] for row in rows]})
    order = list(range(len(rows)))
    random.shuffle(order)
    some = order[: max(1, len(order) // 2)]
    assert (row_hashes(table)[some] == row_hashes(table.iloc[some])).all()


def test_growing_the_table_moves_no_row() -> None:
    table = samples.animals(500)
    assert (held_out(table, 0.2)[:300] == held_out(table[:300], 0.2)).all()


def test_equal_rows_share_a_side() -> None:
    table = samples.blobs(50)
    twice = held_out(pd.concat([table, table]), 0.3)
    assert (twice[:50] == twice[50:]).all()


def test_the_order_of_columns_and_the_width_of_numbers_do_not_count() -> None:
    table = pd.DataFrame({"a": [1, 2, 3, 0], "b": [0.5, -0.0, 2.0, 0.25], "c": ["x", "y", "z", ""]})
    other = pd.DataFrame({"c": table.c.astype("category"), "b": (table.b + 0.0).astype("float32"), "a": table.a.astype("int8")})
    assert (row_hashes(table[sorted(table)]) == row_hashes(other[sorted(other)])).all()
    assert (held_out(table, 0.5) == held_out(other, 0.5)).all()
    assert (row_hashes(table[["a"]].astype(object)) == row_hashes(table[["a"]])).all()


def test_the_hash_of_a_known_row_stays_what_it_was() -> None:
    """A changed hash would put rows that champions were trained on among the held-out ones."""
    table = pd.DataFrame(
        {"n": [1.5, -2.0, float("nan")], "t": ["ä", "", None], "flag": [True, False, True], "when": pd.to_datetime(["2026-01-01"] * 3)}
    )
    assert row_hashes(table).tolist() == KNOWN


KNOWN = [11702941286552120225, 15994966303547560185, 1027128537423383450]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_held_out_share_is_near_the_fraction_asked_for(fraction: float) -> None:
    table = pd.DataFrame({"a": np.arange(20_000), "b": 1})
    assert held_out(table, fraction).mean() == pytest.approx(fraction, abs=0.015)


def test_a_larger_fraction_only_adds_held_out_rows() -> None:
    table = samples.animals()
    assert not (held_out(table, 0.1) & ~held_out(table, 0.3)).any()


def test_rows_of_one_group_share_a_side() -> None:
    table = samples.blobs(300).assign(patient=lambda t: t.index % 30)
    sides = pd.Series(held_out(table, 0.3, "patient")).groupby(table.patient).nunique()
    assert (sides == 1).all()


def test_columns_are_told_apart() -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [2, 1]})
    assert row_hashes(table)[0] != row_hashes(table)[1]
