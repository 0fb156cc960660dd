import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from include.spec.cron import PRESETS, fault

_number = st.integers(0, 70).map(str)
_item = st.one_of(
    st.just("*"),
    _number,
    st.tuples(_number, _number).map("-".join),
    st.tuples(st.just("*"), _number).map("/".join),
    st.sampled_from(["mon", "JAN", "sat", "x"]),
)
_field = st.lists(_item, min_size=1, max_size=3).map(",".join)


@pytest.mark.parametrize("expression", [*PRESETS, "0 3 * * *", "*/15 8-18 * * mon-fri", "0 0 29 2 *", "5,35 0 1 jan,jul *", "0 0 * * 7"])
def test_what_a_user_means_is_accepted(expression: str) -> None:
    assert fault(expression) is None


@pytest.mark.parametrize(
    "expression", ["", "daily", "* * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "5-3 * * * *", "*/0 * * * *"]
)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    assert fault(expression)


def test_a_day_that_never_comes_is_refused() -> None:
    assert "never fires" in str(fault("0 0 30 2 *"))


@given(fields=st.tuples(_field, _field, _field, _field, _field))
def test_whatever_is_accepted_the_scheduler_can_run(fields: tuple[str, ...]) -> None:
    expression = " ".join(fields)
    if fault(expression) is None:
        assert croniter(expression).get_next() > 0
