"""Nodes that cost by the hour: taken when the others can't serve in time, within the budget, given back first."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from include.pool.errors import Impossible
from include.pool.pool import Pool
from include.pool.state import BurstOffer, BurstState, Config, LeaseState, NodeReport, Quota, RequestState
from tests.include.pool.floor import Floor, gpus

CONFIG = Config(
    lease_ttl_s=1e9,
    waiting_ttl_s=1e9,
    node_silent_s=1e9,
    node_grace_s=1e9,
    burst_budget_per_day=100.0,
    burst_after_s=600.0,
    burst_idle_s=60.0,
)


class Cloud(Floor):
    """A floor with machines that can be had by the hour; ``clouds`` is what their agent would say."""

    def __init__(self, config: Config = CONFIG, *, clouds: dict[str, BurstOffer], size: int = 2, **nodes: Any) -> None:
        super().__init__(config, **nodes)
        self.clouds, self.size, self._numbers = clouds, size, count(1)
        self.beat()

    def beat(self) -> None:
        """The agent does what is wanted (a machine boots in its boot time), and reports."""
        for name, offer in self.clouds.items():
            node = self.pool.nodes.get(name)
            if node is None or node.burst is None:
                continue
            booted = self.now >= node.burst.wanted_at + offer.boot_s
            up = BurstState.ON if booted else BurstState.BOOTING
            self.clouds[name] = replace(offer, state=up if node.burst.wanted else BurstState.OFF)
        nodes = [NodeReport(name, {}, tuple(gpus(name, self.size)), offer) for name, offer in self.clouds.items()]
        self.pool.report(self.now, "cloud", "declared", next(self._numbers), self.now, nodes)
        self.pool.tick(self.now)

    def until(self, now: float, step: float = 5.0) -> None:
        while self.now < now:
            self.now = min(now, self.now + step)
            self.beat()

    def wanted(self) -> list[str]:
        return [name for name in self.clouds if (burst := self.pool.nodes[name].burst) is not None and burst.wanted]


def cheap(**fields: Any) -> BurstOffer:
    return BurstOffer(**{"price_per_hour": 3.0, "boot_s": 120.0, **fields})


def test_one_is_taken_so_early_that_it_is_there_when_the_request_has_waited_long_enough() -> None:
    floor = Cloud(clouds={"cloud": cheap()}, a=1)
    floor.start("long", gpus=1, duration_s=7200)
    late = floor.start("late", gpus=1, duration_s=600)
    floor.until(475)
    assert floor.wanted() == []
    floor.until(490)
    assert floor.wanted() == ["cloud"]
    assert "being booted for it" in late.reasons[-1] and not any("Out of service" in reason for reason in late.reasons)
    floor.until(606)
    assert floor.grants(late)[0].node == "cloud"


def test_none_is_taken_where_a_local_one_will_be_free_in_time() -> None:
    floor = Cloud(clouds={"cloud": cheap()}, a=1)
    floor.start("short", gpus=1, duration_s=590)
    floor.start("late", gpus=1, duration_s=600)
    floor.until(560)
    assert floor.wanted() == []


def test_local_places_are_taken_first_and_an_idle_node_is_given_back() -> None:
    floor = Cloud(clouds={"cloud": cheap(boot_s=1000.0)}, a=1)
    first = floor.start("first", gpus=1, duration_s=7200)
    second = floor.start("second", gpus=1, duration_s=7200)
    floor.until(1005)
    assert floor.grants(second)[0].node == "cloud"
    floor.release(first)
    third = floor.start("third", gpus=1)
    assert floor.grants(third)[0].node == "a"
    floor.release(second)
    floor.until(1005 + 55)
    assert floor.wanted() == ["cloud"]
    floor.until(1005 + 65)
    assert floor.wanted() == []
    assert any("given back: nobody has used it" in event.text for event in floor.pool.take_changes().events)


def test_of_several_the_cheapest_is_taken_and_no_more_than_are_needed() -> None:
    floor = Cloud(clouds={"dear": cheap(price_per_hour=9.0), "fair": cheap(price_per_hour=2.0)}, a=1)
    for number in range(4):
        floor.start(f"r{number}", gpus=1, duration_s=7200)
    floor.until(495)
    assert floor.wanted() == ["fair", "dear"] or sorted(floor.wanted()) == ["dear", "fair"]
    floor = Cloud(clouds={"dear": cheap(price_per_hour=9.0), "fair": cheap(price_per_hour=2.0)}, a=1)
    for number in range(3):
        floor.start(f"r{number}", gpus=1, duration_s=7200)
    floor.until(700)
    assert floor.wanted() == ["fair"]
    assert all(request.state is RequestState.GRANTED for request in floor.pool.requests.values())


def test_a_gang_has_as_many_booted_as_it_lacks() -> None:
    floor = Cloud(clouds={name: cheap() for name in ("c1", "c2", "c3")}, a=2)
    gang = floor.start("gang", gpus=2, nodes=3, duration_s=600)
    floor.until(605)
    assert len(floor.wanted()) == 2
    assert len(floor.grants(gang)) == 3


def test_the_budget_is_kept_and_a_request_that_it_holds_back_is_told() -> None:
    floor = Cloud(replace(CONFIG, burst_budget_per_day=3.0), clouds={"cloud": cheap()}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    late = floor.start("late", gpus=1, duration_s=7200)
    floor.until(700)
    assert floor.wanted() == []
    assert "the day's budget of 3" in late.reasons[-1]
    other = floor.start("other", gpus=1, duration_s=1200)
    floor.until(1400)
    assert floor.grants(other)[0].node == "cloud"


def test_work_that_takes_longer_than_it_said_stops_when_the_budget_is_spent() -> None:
    floor = Cloud(replace(CONFIG, burst_budget_per_day=1.0), clouds={"cloud": cheap()}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    late = floor.start("late", gpus=1, duration_s=600)
    floor.until(700)
    lease = floor.lease(late)
    floor.until(480 + 1200 + 10)
    assert lease.notice is not None and lease.notice.kind == "budget"
    floor.until(480 + 1200 + 60)
    assert floor.wanted() == []
    assert late.state is RequestState.WAITING


def test_a_providers_notice_is_a_notice_to_whoever_works_there() -> None:
    floor = Cloud(clouds={"cloud": cheap(spot=True)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    late = floor.start("late", gpus=1, duration_s=7200)
    floor.until(700)
    lease = floor.lease(late)
    floor.clouds["cloud"] = replace(floor.clouds["cloud"], notice_s=100.0)
    floor.beat()
    assert lease.state is LeaseState.NOTICED
    assert lease.notice is not None and (lease.notice.kind, lease.notice.deadline) == ("spot", 800.0)
    assert floor.pool.free_milli("cloud", "cloud-1") == 0
    floor.release(late, requeue=True)
    floor.beat()
    assert floor.wanted() == []
    assert late.state is RequestState.WAITING and late.preemptions == 1


def test_what_must_not_be_taken_away_and_what_has_no_end_never_run_there() -> None:
    floor = Cloud(clouds={"spot": cheap(spot=True), "firm": cheap(price_per_hour=8.0)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400, preemptible=False)
    server = floor.start("server", gpus=1, endless=True, priority=10)
    firm = floor.start("firm", gpus=1, preemptible=False, duration_s=600)
    floor.until(700)
    assert floor.wanted() == ["firm"]
    assert floor.grants(firm)[0].node == "firm"
    assert server.state is RequestState.WAITING
    assert floor.pool.what_if(floor.now, server.ask).possible_now is False


def test_a_node_that_does_not_come_is_given_up_and_left_alone_for_a_while() -> None:
    floor = Cloud(clouds={"cloud": cheap(boot_s=60.0)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    floor.start("late", gpus=1, duration_s=600)
    floor.until(545)
    assert floor.wanted() == ["cloud"]
    node = floor.pool.nodes["cloud"]
    assert node.burst is not None
    floor.pool.report(546, "cloud", "declared", 10_000, 546, [NodeReport("cloud", {}, (), replace(cheap(), failed="no capacity"))])
    floor.pool.tick(546)
    assert node.burst is not None and not node.burst.wanted and node.burst.paused_until == 546 + 600
    assert any("given back: no capacity" in event.text for event in floor.pool.take_changes().events)


def test_a_boot_that_nobody_needs_any_more_is_called_off() -> None:
    floor = Cloud(clouds={"cloud": cheap(boot_s=500.0)}, a=1)
    long = floor.start("long", gpus=1, duration_s=86_400)
    floor.start("late", gpus=1, duration_s=600)
    floor.until(150)
    assert floor.wanted() == ["cloud"]
    floor.release(long)
    floor.until(220)
    assert floor.wanted() == []


def test_time_alone_brings_it_about() -> None:
    """Nothing happens but that the pool looks when it said that it would."""
    floor = Cloud(clouds={"cloud": cheap()}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    floor.start("late", gpus=1, duration_s=600)
    for _ in range(50):
        due = floor.pool.next_due()
        assert due is not None
        if floor.wanted():
            break
        floor.at(max(due, floor.now))
    assert floor.wanted() == ["cloud"] and floor.now <= 481


def test_without_a_budget_nothing_is_taken_and_nothing_is_ended() -> None:
    floor = Cloud(replace(CONFIG, burst_budget_per_day=0.0), clouds={"cloud": cheap(state=BurstState.ON)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    late = floor.start("late", gpus=1)
    floor.until(2000)
    assert floor.wanted() == [] and late.state is RequestState.WAITING


def test_it_is_kept_and_restored() -> None:
    floor = Cloud(clouds={"cloud": cheap()}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    late = floor.start("late", gpus=1, duration_s=600)
    floor.until(500)
    other = Pool(CONFIG)
    old = floor.pool
    other.restore(old.nodes.values(), old.requests.values(), old.leases.values(), old.quotas.values(), old.next_token)
    floor.pool = other
    floor.until(605)
    assert floor.grants(late)[0].node == "cloud"


def test_who_stops_for_somebody_already_stops_for_the_provider_too_and_nobody_waits_for_ever() -> None:
    floor = Cloud(clouds={"cloud": cheap(spot=True)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400, preemptible=False)
    low = floor.start("low", gpus=2, priority=2, duration_s=7200)
    floor.until(700)
    high = floor.start("high", gpus=2, priority=9, grace_s=200)
    lease = floor.lease(low)
    assert lease.notice is not None and lease.notice.kind == "preempted"
    floor.clouds["cloud"] = replace(floor.clouds["cloud"], notice_s=10.0)
    floor.beat()
    assert lease.notice is not None and (lease.notice.kind, lease.notice.deadline) == ("spot", 710.0)
    floor.clouds["cloud"] = cheap(state=BurstState.OFF)
    floor.until(720)
    assert high.state is RequestState.WAITING
    floor.until(1500)
    assert high.state is RequestState.GRANTED


def test_what_only_such_nodes_have_and_must_not_run_there_is_refused_at_once() -> None:
    floor = Cloud(clouds={"spot": cheap(spot=True)}, a=1)
    with pytest.raises(Impossible, match="taken by the hour"):
        floor.ask("server", gpus=2, endless=True)
    floor.ask("work", gpus=2)


def test_firm_work_is_not_let_in_on_the_word_of_a_node_that_goes_again() -> None:
    floor = Cloud(clouds={"cloud": cheap(state=BurstState.ON)}, a=2)
    floor.pool.set_quota(0, Quota("vision", 1), "admin")
    floor.start("first", gpus=1, preemptible=False, duration_s=600, team="text")
    firm = floor.start("firm", gpus=1, preemptible=False, duration_s=600, team="text")
    assert firm.state is RequestState.WAITING and "guaranteed to others" in firm.reasons[0]


def test_a_boot_is_called_off_when_the_money_goes_before_it_is_there() -> None:
    floor = Cloud(replace(CONFIG, burst_budget_per_day=1.0), clouds={"cloud": cheap(boot_s=600.0, price_per_hour=3.0)}, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    floor.start("late", gpus=1, duration_s=100)
    floor.until(10)
    assert floor.wanted() == ["cloud"]
    node = floor.pool.nodes["cloud"]
    assert node.burst is not None
    node.burst = replace(node.burst, paid_since=node.burst.wanted_at - 1200)
    floor.until(20)
    assert floor.wanted() == []


def test_eight_small_requests_take_one_node_of_eight() -> None:
    floor = Cloud(clouds={"c1": cheap(), "c2": cheap()}, size=8, a=1)
    floor.start("long", gpus=1, duration_s=86_400)
    for number in range(8):
        floor.start(f"r{number}", gpus=1, duration_s=600)
    floor.until(610)
    assert len(floor.wanted()) == 1
    assert sum(request.state is RequestState.GRANTED for request in floor.pool.requests.values()) == 9


def test_what_a_removed_node_cost_still_counts_against_the_budget() -> None:
    floor = Cloud(replace(CONFIG, burst_budget_per_day=2.0), clouds={"cloud": cheap()}, a=1)
    floor.start("here", gpus=1, duration_s=7200)
    floor.start("first", gpus=1, duration_s=1200, preemptible=True)
    floor.until(1500)
    assert floor.wanted() == ["cloud"]
    spent = floor.pool.burst_spent(floor.now)
    floor.pool.remove_node(floor.now, "cloud", "admin")
    kept = floor.pool.take_changes()
    assert spent > 0 and floor.pool.burst_spent(floor.now) == pytest.approx(spent)
    assert "cloud" not in floor.pool.nodes and kept.nodes["cloud"].burst.removed and not kept.gone_nodes

    again = Pool(floor.pool.config)  # another server reads it anew
    again.restore([*floor.pool.nodes.values(), kept.nodes["cloud"]], [], [], [])
    assert again.burst_spent(floor.now) == pytest.approx(spent) and "cloud" not in again.nodes

    floor.clouds["cloud"] = cheap()
    floor.beat()  # its agent tells of it again
    assert floor.pool.burst_spent(floor.now) == pytest.approx(spent) and not floor.pool.nodes["cloud"].burst.removed
    floor.pool.remove_node(floor.now, "cloud", "admin")
    floor.clouds = {}
    floor.until(floor.now + 86_400, step=600.0)
    floor.pool.tick(floor.now)
    assert floor.pool.burst_spent(floor.now) == 0 and "cloud" in floor.pool.take_changes().gone_nodes


def at_the_cloud(config: Config = CONFIG, **fields: Any) -> tuple[Cloud, Any, Any]:
    """One GPU here, held; somebody works at the cloud since then."""
    floor = Cloud(config, clouds={"cloud": cheap()}, a=1)
    here = floor.start("here", gpus=1, duration_s=7200)
    there = floor.start("there", **{"gpus": 1, "duration_s": 7200, "preemptible": True, **fields})
    floor.until(900)
    assert floor.grants(there)[0].node == "cloud"
    return floor, here, there


def saves(floor: Cloud, request: Any) -> None:
    lease = floor.lease(request)
    floor.pool.renew(floor.now, lease.id, lease.token, 0.0)
    floor.pool.tick(floor.now)


def test_work_moves_back_when_a_place_here_falls_free_and_it_has_just_saved() -> None:
    floor, here, there = at_the_cloud()
    floor.release(here)
    floor.until(floor.now + 30)
    assert floor.lease(there).notice is None  # nothing is saved: it stays
    saves(floor, there)
    notice = floor.lease(there).notice
    assert notice is not None and notice.kind == "moved" and "room for it on a" in notice.reason
    floor.release(there, requeue=True)
    assert floor.grants(there)[0].node == "a"
    floor.until(floor.now + 120)
    assert floor.wanted() == []


@pytest.mark.parametrize("why", ["off", "firm", "soon done", "somebody waits"])
def test_work_stays_where_moving_is_not_worth_it_or_not_allowed(why: str) -> None:
    config = replace(CONFIG, burst_move_s=0.0) if why == "off" else CONFIG
    fields: dict[str, Any] = {"firm": {"preemptible": False}, "soon done": {"duration_s": 800}}.get(why, {})
    floor, here, there = at_the_cloud(config, **fields)
    if why == "somebody waits":
        floor.ask("next", gpus=1, duration_s=7200)
    floor.release(here)
    saves(floor, there)
    assert floor.lease(there).notice is None
