"""A comparison with the champion uses rows that neither model was trained on, or says that there are none."""

import numpy as np
import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.rows.split import sides
from include.kinds.rows.unseen import unseen
from include.spec.data import Data


def data(**more: object) -> Data:
    return Data.model_validate({"source": "a:b", "target": "y"} | more)


def customers(rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer": np.arange(rows) + 10_000 * seed,
            "tenure": rng.integers(0, 60, rows),
            "charges": rng.normal(50, 10, rows).round(2),
            "plan": rng.choice(["a", "b", "c"], rows),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), "h"),
            "y": rng.integers(0, 2, rows),
        }
    )


def seen_share(today: pd.DataFrame, before: pd.DataFrame, how: Data, their: Data | None = None) -> tuple[float, float, str]:
    """Share of the rows left to compare that the champion was trained on (by customer), share of the held-out rows left, and the note."""
    test = today[sides(today, how).test].reset_index(drop=True)
    found = unseen(today, test, how, before, their or how)
    trained = set(before.customer[sides(before, their or how).train])
    left = test[found.rows]
    return (left.customer.isin(trained).mean() if len(left) else 0.0), found.rows.mean(), found.note


def test_the_same_columns_leave_every_row_to_compare() -> None:
    before = customers()
    assert seen_share(before, before, data())[:2] == (0, 1)


def test_new_rows_are_unseen() -> None:
    before = customers()
    assert seen_share(pd.concat([before, customers(500, 1)], ignore_index=True), before, data())[:2] == (0, 1)
    assert seen_share(customers(1500, 1), before, data())[:2] == (0, 1), "a snapshot without a common row"


def test_an_added_column_leaves_only_what_the_champion_held_out() -> None:
    before = customers()
    today = before.assign(segment=lambda t: t.customer % 7)
    seen, left, _ = seen_share(today, before, data())
    assert seen == 0 and 0.1 < left < 0.35


def test_a_column_that_ages_leaves_none_and_says_what_helps() -> None:
    before = customers()
    seen, left, note = seen_share(before.assign(tenure=before.tenure + 1), before, data())
    assert (seen, left) == (0, 0) and "have changed since" in note and "data.key" in note


def test_with_a_key_nothing_of_that_matters() -> None:
    before, how = customers(), data(key="customer")
    today = before.assign(tenure=before.tenure + 1, segment=1)
    assert seen_share(today, before, how)[:2] == (0, 1)
    assert seen_share(today, before, how, data())[0] == 0, "the champion was split by content"


def test_by_time_the_future_is_held_out_and_the_gap_is_on_neither_side() -> None:
    table = customers(1000).sample(frac=1, random_state=3, ignore_index=True)
    found = sides(table, data(time="day", gap=2))
    assert found.test.mean() == pytest.approx(0.2, abs=0.01)
    assert table.day[found.train].max() + pd.Timedelta(days=2) < table.day[found.test].min()
    assert (~found.train & ~found.test).sum() in (47, 48)


def test_by_time_rows_after_the_champions_training_are_unseen() -> None:
    before, how = customers(), data(time="day")
    today = pd.concat([before, customers(100, 1).assign(day=pd.Timestamp("2027-01-01"))], ignore_index=True)
    seen, left, _ = seen_share(today, before, how)
    assert seen == 0 and left == 1


@pytest.mark.parametrize(
    ("how", "column", "said"),
    [({"key": "customer"}, "customer", "Every row needs its key"), ({"time": "day"}, "day", "is missing in 1 rows")],
)
def test_a_missing_key_or_time_is_named(how: dict, column: str, said: str) -> None:
    table = customers(20).astype({"customer": object})
    table.loc[3, column] = None
    with pytest.raises(InputError, match=said):
        sides(table, data(**how))


def test_times_as_texts_are_read() -> None:
    table = customers(50).assign(day=lambda t: t.day.dt.strftime("%Y-%m-%dT%H:%M:%S"))
    assert sides(table, data(time="day")).test.sum() == 10
    with pytest.raises(InputError, match="neither a number nor a date"):
        sides(table.assign(day="soon"), data(time="day"))
