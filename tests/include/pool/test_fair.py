"""What teams have used of late counts: exactly, through restarts, outages and clock jumps, and within the bound on waiting."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.pool.fair import LONGEST_UNHEARD_S, MANY, Accounts, delays
from include.pool.order import in_order, overtaking_s
from include.pool.pool import Pool
from include.pool.state import Config, NodeReport, Quota, RequestState
from tests.include.pool.floor import Floor, gpus

DAY = 86400.0
QUIET = Floor().pool.config
SPANS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 64_000)), min_size=1, max_size=12)


@given(SPANS, st.floats(60, 1e6), st.integers(1, 5))
def test_an_account_is_the_decayed_integral_however_often_it_is_settled(spans: list[tuple[float, int]], half_life_s: float, often: int):
    held = 0
    accounts = Accounts(half_life_s, lambda team: held)
    accounts.settle("red", 0.0)
    now, used = 0.0, []
    for length, held in spans:
        used.append((now, now + length, held / 1000))
        for part in range(1, often + 1):
            accounts.settle("red", now + length * part / often)
        now += length
    tau = half_life_s / math.log(2)
    expected = sum(amount * tau * (math.exp((to - now) / tau) - math.exp((since - now) / tau)) for since, to, amount in used)
    assert accounts.gpu_s("red", now) == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_half_of_it_counts_after_a_half_life():
    floor = Floor(replace(QUIET, fair_half_life_hours=2), a=4)
    four = floor.start("k", gpus=4, team="red")
    floor.now = 60
    floor.release(four)
    used = floor.pool.team_past(60)["red"]
    assert used == pytest.approx(4 / 60, rel=0.01)
    assert floor.pool.team_past(60 + 2 * 3600)["red"] == pytest.approx(used / 2)


def test_who_used_less_of_late_comes_first_though_both_hold_nothing_now():
    floor = Floor(a=1)
    for team, length in (("red", 1000), ("blue", 100)):
        lease = floor.start(team, gpus=1, team=team, preemptible=False)
        floor.now += length
        floor.release(lease)
    floor.start("other", gpus=1, preemptible=False)
    for team in ("red", "blue"):
        floor.start(f"{team} again", gpus=1, team=team)
    assert [request.ask.team for request in floor.pool.line(floor.now)] == ["blue", "red"]
    assert not {"past", "late"} & set(" ".join(floor.pool.requests[floor.pool.line(floor.now)[0].id].reasons).split())


def test_who_used_more_than_its_share_waits_an_hour_longer_at_most_and_is_told():
    floor = Floor(a=8)
    hog = floor.start("hog", gpus=8, team="red", preemptible=False)
    floor.now = DAY
    floor.release(hog)
    floor.start("busy", gpus=8, preemptible=False, priority=10)
    early = floor.start("red", gpus=1, team="red")
    floor.at(DAY + 3500)
    late = floor.start("blue", gpus=1, team="blue")
    assert [request.key for request in floor.pool.line(floor.now)] == ["blue", "red"]
    assert any("more than its share of late: up to 60 min" in reason for reason in early.reasons) and late.starts_at
    floor.at(DAY + 3600 + 700)
    floor.start("blue too", gpus=1, team="blue")
    assert [request.key for request in floor.pool.line(floor.now)].index("red") < 2  # its hour is over: it ages as others do


def test_priorities_and_guarantees_stand_above_it():
    floor = Floor(a=8)
    hog = floor.start("hog", gpus=8, team="red", preemptible=False)
    floor.now = DAY
    floor.release(hog)
    floor.start("busy", gpus=8, preemptible=False, priority=10)
    floor.start("blue", gpus=1, team="blue", priority=5)
    floor.start("red", gpus=1, team="red", priority=6)
    assert [request.key for request in floor.pool.line(floor.now)] == ["red", "blue"]
    floor.start("red too", gpus=1, team="red", priority=2)
    floor.pool.set_quota(floor.now, Quota("red", 2), "admin")
    assert [request.key for request in floor.pool.line(floor.now)] == ["red", "red too", "blue"]


def test_off_means_that_only_what_is_held_now_counts():
    floor = Floor(replace(QUIET, fair_half_life_hours=0), a=2)
    hog = floor.start("hog", gpus=2, team="red", preemptible=False)
    floor.now = DAY
    floor.release(hog)
    floor.start("blue holds", gpus=2, team="blue", preemptible=False)
    for team in ("blue", "red"):
        floor.start(team, gpus=1, team=team)
    assert [request.key for request in floor.pool.line(floor.now)] == ["red", "blue"]
    assert not floor.pool.team_past(floor.now) and not floor.pool.take_changes().accounts


@given(
    st.lists(st.tuples(st.integers(1, 10), st.floats(0, 20_000), st.sampled_from("abc")), min_size=2, max_size=12),
    st.floats(0, 100_000),
    st.floats(1, 2_000),
    st.fixed_dictionaries({team: st.floats(0, 1) for team in "abc"}),
    st.floats(0, 10_000),
)
def test_no_request_stands_before_one_submitted_so_much_earlier(
    wishes: list[tuple[int, float, str]], look: float, ageing_s: float, parts: dict[str, float], longest_s: float
):
    floor = Floor(a=1)
    for number, (priority, at, team) in enumerate(wishes):
        floor.now = at
        floor.ask(f"k{number}", gpus=1, priority=priority, team=team)
    now = max(look, *(at for _, at, _ in wishes))
    line = in_order(floor.pool.requests.values(), now, ageing_s, lambda team: (parts[team], 0.0), lambda team: parts[team] * longest_s)
    for place, early in enumerate(line):
        for before in line[:place]:
            assert before.submitted_at < early.submitted_at + overtaking_s(early.ask.priority, ageing_s, longest_s) + 1e-6


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.floats(0, 1e9), st.floats(0.1, 10)), min_size=1), st.floats(0, 1e4))
def test_somebody_always_waits_without_delay_and_nobody_longer_than_the_longest(teams: dict[str, tuple[float, float]], longest_s: float):
    found = delays({team: used for team, (used, _) in teams.items()}, {team: weight for team, (_, weight) in teams.items()}, 8, longest_s)
    assert min(found.values()) <= 1e-6 * max(1.0, *(used for used, _ in teams.values()))
    assert max(found.values()) <= longest_s


# Restarts, outages, clocks


def kept(pool: Pool, config: Config) -> Pool:
    """Another pool that reads what this one kept."""
    accounts = pool.take_changes().accounts.values()
    other = Pool(config)
    other.restore(pool.nodes.values(), pool.requests.values(), pool.leases.values(), pool.quotas.values(), pool.next_token, list(accounts))
    return other


def test_a_restart_loses_nothing():
    floor = Floor(a=4)
    floor.start("a", gpus=1, team="red")
    floor.at(500)
    floor.start("b", gpus=2, team="red")
    again = kept(floor.pool, QUIET)
    for now in (500.0, 5000.0, 5 * DAY):
        assert again.team_past(now) == floor.pool.team_past(now)


def test_a_pool_that_kept_no_accounts_counts_from_the_last_grant():
    floor = Floor(replace(QUIET, fair_half_life_hours=0), a=4)
    floor.start("a", gpus=1, team="red")
    floor.at(500)
    floor.start("b", gpus=2, team="red")
    again = kept(floor.pool, QUIET)
    assert again.team_past(500)["red"] == 0
    assert again.team_past(500 + 3600)["red"] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(("away_s", "counted_s"), [(600.0, 600.0), (5 * DAY, LONGEST_UNHEARD_S)])
def test_an_absence_counts_for_as_long_as_holders_go_on_unheard(away_s: float, counted_s: float):
    """An outage of ten minutes, and a clock set forward by days."""
    config = Config(lease_ttl_s=30, fair_half_life_hours=10_000)
    floor = Floor(config, a=4)
    request = floor.start("a", gpus=4, team="red")
    floor.pool.listening(0.0)
    floor.pool.listening(away_s)
    floor.at(away_s)
    assert request.state is RequestState.GRANTED
    assert floor.pool.team_past(away_s)["red"] == pytest.approx(4 * counted_s / 3600, rel=0.02)
    assert floor.pool.take_changes().accounts["red"].at == away_s  # and kept


def test_a_clock_set_back_adds_and_loses_nothing():
    floor = Floor(replace(QUIET, fair_half_life_hours=10_000), a=4)
    request = floor.start("a", gpus=4, team="red")
    for now in (DAY, DAY + 100):
        floor.at(now)
        floor.pool.renew(now, request.lease_id, floor.lease(request).token)
        floor.report("a")
    before = floor.pool.team_past(DAY + 100)["red"]
    floor.pool.listening(DAY + 100)
    floor.pool.listening(100)
    assert floor.pool.team_past(100)["red"] == pytest.approx(before)
    floor.pool.listening(100)
    assert floor.pool.team_past(100 + 3600)["red"] == pytest.approx(before + 4, rel=0.001)


def test_accounts_of_teams_that_are_long_gone_are_closed():
    accounts = Accounts(3600.0, lambda team: 1000 if team == "t0" else 0)
    for number in range(MANY):
        accounts.settle(f"t{number}", 0.0)
    assert len(accounts.close(10.0)) == MANY - 1 and list(accounts.of) == ["t0"]


def test_a_report_alone_changes_no_account():
    floor = Floor(a=[*gpus("a", 2)])
    floor.start("a", gpus=1, team="red")
    floor.pool.take_changes()
    floor.pool.report(5.0, "a", "declared", 99, 5.0, [NodeReport("a", {}, tuple(floor.devices["a"]))])
    floor.pool.tick(5.0)
    assert not floor.pool.take_changes().accounts
