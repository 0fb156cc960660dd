"""Rows by time: what is no one clock is refused."""

import pandas as pd
import pytest

from include.errors import InputError
from include.kinds.rows.split import moments


def test_times_of_one_clock_are_days_whatever_their_zones() -> None:
    assert moments(pd.Series(["1970-01-02", "1970-01-03T12:00"], name="at")).tolist() == [1.0, 2.5]
    assert moments(pd.Series(["1970-01-02T02:00+02:00", "1970-01-02T00:00Z"], name="at")).tolist() == [1.0, 1.0]
    assert moments(pd.Series(pd.to_datetime(["1970-01-02"]), name="at")).tolist() == [1.0]


def test_times_with_and_without_a_zone_have_no_order() -> None:
    with pytest.raises(InputError, match=r"data\.time: column 'at'.*with a zone \('1970-01-02T00:00Z', row 2\) and without"):
        moments(pd.Series(["1970-01-02", "1970-01-02T00:00Z"], name="at"))
