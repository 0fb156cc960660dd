"""A target among the features makes every gate pass, and is not there when the model is asked."""

import numpy as np
import pandas as pd
import pytest

from include.data.giveaways import giveaways
from include.data.table import remarks

ROWS = 200
RNG = np.random.default_rng(0)
CHURNED = RNG.choice(["yes", "no"], ROWS)


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"age": RNG.normal(40, 9, ROWS), "plan": RNG.choice(list("abc"), ROWS), "churned": CHURNED, **columns})


@pytest.mark.parametrize(
    "copy",
    [
        np.where(CHURNED == "yes", 1, 0),
        np.where(CHURNED == "yes", "left", None),
        np.where(CHURNED == "yes", RNG.choice(["moved", "too dear"], ROWS), "still here"),
        pd.Categorical(CHURNED),
        pd.array(CHURNED == "yes", dtype="boolean"),
        pd.Series(pd.date_range("2024-01-01", periods=ROWS)).where(CHURNED == "yes").to_numpy(),
    ],
    ids=["number", "missing-otherwise", "finer", "category", "boolean", "date-of-it"],
)
def test_a_column_that_tells_the_target_is_named(copy: object) -> None:
    frame = table(status=copy)
    [said] = giveaways(frame, ["age", "plan", "status"], "churned")
    assert said.startswith("column 'status' alone tells 'churned' in every row") and "`data.exclude` hides it." in said


def test_identifiers_and_honest_columns_are_passed_over() -> None:
    assert giveaways(table(customer=range(ROWS)), ["age", "plan", "customer"], "churned") == []


def test_a_number_in_other_units_is_the_target_too() -> None:
    frame = table(euros=RNG.normal(300, 50, ROWS)).assign(cents=lambda frame: frame.euros * 100)
    assert [said.split("'")[1] for said in giveaways(frame, ["age", "cents", "plan"], "euros")] == ["cents"]
    assert giveaways(frame.assign(cents=lambda f: f.cents + RNG.normal(0, 50, ROWS)), ["age", "cents"], "euros") == []


def test_it_is_among_what_a_run_says_of_its_table(spec) -> None:  # type: ignore[no-untyped-def]
    assert any("'status' alone tells" in said for said in remarks(table(status=CHURNED), spec(target="churned")))
