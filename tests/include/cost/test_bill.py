"""A month's bill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.cost.bill import bill, csv_rows
from include.cost.gpu_use import HOUR_S, GpuUse
from include.cost.month import Month
from include.errors import InputError
from include.gateway.metering import Usage
from include.prices.table import Prices, TokenPrice, defaults

DECEMBER, NOVEMBER = Month(2026, 12), Month(2026, 11)
PRICES = defaults()
HOUR = 98.32 / 8


def use(began, ended, now=None, **more):
    fields = {"key": "digits_lifecycle/r/train/-1", "holder": "updraft", "team": "vision", "gpu": "H100-80GB", "gpus": 1.0}
    return GpuUse(**{"lease_id": "a", "part": 0, "spot": False, "simulated": False, "began": began, "ended": ended} | fields | more)


def test_a_lease_over_the_end_of_a_month_is_split_there():
    across = use(DECEMBER.begin - 2 * HOUR_S, DECEMBER.begin + HOUR_S)
    assert bill(NOVEMBER, DECEMBER.end, PRICES, [across], []).gpus[0].gpu_hours == pytest.approx(2)
    assert bill(DECEMBER, DECEMBER.end, PRICES, [across], []).gpus[0].gpu_hours == pytest.approx(1)
    assert bill(DECEMBER, DECEMBER.end, PRICES, [across], []).total().cost == pytest.approx(HOUR)


def test_a_live_lease_counts_up_to_now_and_never_beyond_the_month():
    live = use(DECEMBER.begin, None)
    now = bill(DECEMBER, DECEMBER.begin + 3 * HOUR_S, PRICES, [live], [])
    assert (now.gpus[0].gpu_hours, now.gpus[0].running) == (pytest.approx(3), 1)
    assert bill(DECEMBER, DECEMBER.end + 99 * HOUR_S, PRICES, [live], []).gpus[0].gpu_hours == pytest.approx(31 * 24)
    assert bill(NOVEMBER, DECEMBER.end, PRICES, [live], []).gpus == ()


def test_simulated_gpus_cost_nothing_spot_less_and_unknown_ones_have_no_price():
    began, ended = DECEMBER.begin, DECEMBER.begin + HOUR_S
    kinds = [use(began, ended, simulated=True), use(began, ended, spot=True), use(began, ended, gpu="GB10")]
    found = bill(DECEMBER, DECEMBER.end, PRICES, kinds, [])
    assert {(line.gpu, line.spot, line.simulated): line.cost for line in found.gpus} == {
        ("H100-80GB", False, True): 0.0,
        ("H100-80GB", True, False): pytest.approx(0.3 * HOUR),
        ("GB10", False, False): None,
    }
    assert found.total().unpriced and found.total().cost == pytest.approx(0.3 * HOUR)
    assert found.total().gpu_hours == pytest.approx(3)


def test_leases_of_one_task_are_one_line_and_sums_go_by_team_and_model():
    uses = [use(DECEMBER.begin + at * HOUR_S, DECEMBER.begin + (at + 1) * HOUR_S, lease_id=str(at)) for at in range(3)]
    uses.append(use(DECEMBER.begin, DECEMBER.begin + HOUR_S, key="notebook", team="text"))
    found = bill(DECEMBER, DECEMBER.end, PRICES, uses, [])
    assert [(line.leases, line.what) for line in found.gpus] == [(3, "train"), (1, "notebook")]
    assert [(one.name, one.gpu_hours) for one in found.by_team()] == [("vision", pytest.approx(3)), ("text", pytest.approx(1))]
    assert [one.name for one in found.by_model()] == ["digits", ""]


def test_tokens_of_the_months_days_are_priced_by_kind_and_belong_to_a_team():
    prices = Prices(tokens={"support": TokenPrice(prompt=0.2, completion=0.6)})
    usage = [Usage("2026-12-01", "ann", "support", 2, 1_000_000, 500_000), Usage("2026-12-31", "ann", "support", 1, 0, 500_000, untold=1)]
    usage += [Usage("2026-11-30", "ann", "support", 1, 7, 7), Usage("2026-12-05", "bob", "other", 1, 5, 5)]
    found = bill(DECEMBER, DECEMBER.end, prices, [], usage, lambda client, model: f"of {client}")
    [ann, bob] = found.tokens
    assert (ann.requests, ann.untold, ann.prompt_tokens, ann.completion_tokens) == (3, 1, 1_000_000, 1_000_000)
    assert ann.cost == pytest.approx(0.8) and bob.cost is None and ann.team == "of ann"
    assert found.of_teams(lambda team: team == "of bob").tokens == (bob,)


def test_a_month_without_use_is_empty_and_costs_nothing():
    found = bill(DECEMBER, DECEMBER.begin - 1, PRICES, [], [])
    assert (found.total().cost, found.by_team(), found.until) == (0.0, [], DECEMBER.begin)


@given(st.lists(st.tuples(st.floats(0, 3e6), st.floats(0, 3e6) | st.none(), st.floats(0.01, 8)), max_size=8), st.floats(0, 4e6))
def test_months_add_up_to_the_whole(spans, now):
    """Whatever began and ended when: nothing between two months is lost or counted twice."""
    origin = NOVEMBER.begin
    uses = [
        use(origin + began, None if lasted is None else origin + began + lasted, gpus=gpus, lease_id=str(number))
        for number, (began, lasted, gpus) in enumerate(spans)
    ]
    months = [NOVEMBER, DECEMBER, Month(2027, 1), Month(2027, 2)]
    parts = sum(bill(month, origin + now, PRICES, uses, []).total().gpu_hours for month in months)
    whole = sum(one.hours(origin, origin + 1e8, origin + now) for one in uses)
    assert parts == pytest.approx(whole, abs=1e-6)


def test_the_csv_has_every_line_and_no_name_becomes_a_formula():
    uses = [use(DECEMBER.begin, DECEMBER.begin + HOUR_S, key="=1+1", gpu="GB10")]
    [head, gpu, token] = csv_rows(bill(DECEMBER, DECEMBER.end, PRICES, uses, [Usage("2026-12-01", "ann", "m", 1, 3, 4)]))
    row = dict(zip(head, gpu, strict=True))
    assert (row["work"], row["rate"], row["gpu_hours"], row["cost"]) == ("'=1+1", "on demand", "1.000000", "")
    assert dict(zip(head, token, strict=True)) | {"key": "ann", "prompt_tokens": "3", "completion_tokens": "4"} == dict(
        zip(head, token, strict=True)
    )


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-1", "0000-01", "2026-12-01", "next"])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(InputError):
        Month.parse(text)


def test_december_is_followed_by_january():
    assert str(Month.parse("2026-12").next) == "2027-01" and Month.of(DECEMBER.begin - 0.001) == NOVEMBER
