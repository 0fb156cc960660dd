"""The cheapest victims together, held against trying every set: gangs, shares, several kinds of device, budgets, graces."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from include.pool import may_stop
from include.pool.ask import Ask
from include.pool.frontier import Budgets
from include.pool.space import quota_milli
from include.pool.state import LeaseState, Quota, Request, RequestState
from include.pool.victims import Search
from tests.include.pool.floor import Floor, gpus

Found = tuple[bool, int, int, float, float]


def every_set(search: Search, ask: Ask) -> Found | None:
    """What the cheapest set of victims costs, by trying all of them."""
    best: Found | None = None
    for budgets in search.budgets:
        for count in range(len(search.candidates) + 1):
            for some in combinations(sorted(search.candidates), count):
                if not within(search, budgets, some) or not fits(search, ask, set(some) | search.ending.keys()):
                    continue
                ends = [search.candidates[one] for one in some]
                cost = (
                    budgets.straddling,
                    max((one.priority for one in ends), default=0),
                    count,
                    max((one.grace_s for one in ends), default=0.0),
                    sum(one.lost for one in ends),
                )
                best = cost if best is None or cost < best else best
        if best is not None:
            return best
    return best


def within(search: Search, budgets: Budgets, some: tuple[str, ...]) -> bool:
    for team, most in budgets.milli.items():
        sizes = [search.candidates[one].milli for one in some if search.candidates[one].team == team]
        if sizes and (sum(sizes) - min(sizes) >= most if budgets.straddling else sum(sizes) > most):
            return False
    return True


def fits(search: Search, ask: Ask, gone: set[str]) -> bool:
    space = search.space
    for request in space.alternatives(ask):
        nodes: set[str] = set()
        for part in space.parts_for(request):
            free = [
                space.capacity[part.node, device.uuid]
                - sum(held for lease, held in space.leased.get((part.node, device.uuid), {}).items() if lease not in gone)
                for device in part.devices
            ]
            if sum(milli >= (request.milli_on(part.usable_mib) if request.shared else 1000) for milli in free) >= max(request.gpus, 1):
                nodes.add(part.node)
        if len(nodes) >= ask.nodes:
            return True
    return False


whole = st.one_of(
    st.fixed_dictionaries({"gpus": st.integers(1, 3)}),
    st.fixed_dictionaries({"gpus": st.integers(1, 2), "nodes": st.integers(2, 3)}),
)
share = st.one_of(
    st.fixed_dictionaries({"fraction": st.sampled_from([0.2, 0.3, 0.5, 0.7])}),
    st.fixed_dictionaries({"memory": st.sampled_from(["10GiB", "30GiB", "60GiB"])}),
)
holders = st.lists(
    st.tuples(
        st.one_of(whole, share),
        st.integers(1, 4),
        st.sampled_from(["red", "blue", "green"]),
        st.sampled_from([10, 30, 90]),
        st.integers(0, 50),
        st.booleans(),
    ),
    max_size=9,
)
guarantees = st.one_of(st.none(), st.fixed_dictionaries({team: st.integers(0, 3) for team in ("red", "blue", "mine")}))


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(holders, st.one_of(whole, share), guarantees, st.integers(1, 6))
def test_the_plan_is_the_cheapest_of_all_sets(held: list[tuple], size: dict[str, object], quotas: dict[str, int] | None, priority: int):
    floor = Floor(
        a=gpus("a", 3),
        b=gpus("b", 2),
        c=gpus("c", 2, sharing="mps"),
        d=[*gpus("d", 1, model="A100-80GB", memory_mib=40_960, sharing="mps")],
    )
    for number, (wants, rank, team, grace, at, firm) in enumerate(sorted(held, key=lambda one: one[4])):
        floor.now = float(at)
        fields = {"priority": rank, "team": team, "grace_s": grace, "preemptible": not firm or number % 3 > 0}
        floor.start(f"h{number}", **wants, **fields)
    floor.now = 100.0
    for request in [one for one in floor.pool.requests.values() if one.state is RequestState.WAITING]:
        floor.pool.cancel(floor.now, request.id, "test")
    for team, guaranteed in (quotas or {}).items():
        floor.pool.set_quota(floor.now, Quota(team, guaranteed), "admin")
    floor.pool.tick(floor.now)
    assume(all(lease.state is LeaseState.ACTIVE for lease in floor.pool.leases.values()))
    ask = Ask.from_json(size | {"priority": priority, "team": "mine"})
    head = Request("~", "head", "user", ask, RequestState.WAITING, 100.0, 100.0, 100.0)
    for reclaims in {False, bool(quotas)}:
        search = may_stop.search(floor.pool._ledger, 100.0, head, reclaims)
        plan = search.cheapest(ask)
        found = None if plan is None else (plan.straddles, plan.priority, plan.count, plan.start_s, plan.lost)
        best = every_set(search, ask)
        if best is not None:
            best = (*best[:4], round(best[4], 3))
        assert found is None if best is None else found is not None
        assert plan is None or (*found[:4], round(found[4], 3)) == best  # type: ignore[index]
        assert plan is None or fits(search, ask, set(plan.victims) | search.ending.keys())
        for team, quota in floor.pool.quotas.items():
            left = floor.pool.team_use().get(team, 0.0) * 1000 - sum(
                quota_milli(floor.pool.leases[one].grants)
                for one in (plan.victims if plan else ())
                if floor.pool.requests[floor.pool.leases[one].request_id].ask.team == team
            )
            before = floor.pool.team_use().get(team, 0.0) * 1000
            assert plan is None or plan.straddles or team == "mine" or left >= min(before, quota.guaranteed * 1000)


def test_a_gang_is_planned_together():
    """The cheapest node alone is not part of the cheapest pair: one lease lies on the two others."""
    floor = Floor(a=1, b=1, c=1)
    pair = floor.start("pair", gpus=1, nodes=2, priority=2)
    single = floor.start("single", gpus=1, priority=2)
    gang = floor.start("gang", gpus=1, nodes=2, priority=8)
    assert [floor.lease(one).notice is not None for one in (pair, single)] == [True, False]
    floor.at(31)
    assert floor.running(gang, pair) == [True, False]


def test_a_guaranteed_gang_gets_its_nodes_though_the_cheapest_of_each_may_not_be_taken_together():
    floor = Floor(a=1, b=1, c=1)
    floor.pool.set_quota(0, Quota("red", 1), "admin")
    floor.pool.set_quota(0, Quota("mine", 2), "admin")
    for number, node in enumerate("ab"):
        floor.start(f"red{number}", gpus=1, team="red", priority=1, labels={"updraft.io/node": node})
    floor.start("green", gpus=1, team="green", priority=5, labels={"updraft.io/node": "c"})
    gang = floor.start("gang", gpus=1, nodes=2, team="mine")
    floor.at(31)
    assert floor.running(gang) == [True]
    assert floor.pool.team_use() == {"red": 1.0, "mine": 2.0}


def test_the_least_important_stops_whichever_way_the_ask_is_fulfilled():
    """A memory ask fits a share of one device or the whole of another: importance decides, not which way was thought of first."""
    floor = Floor(a=gpus("a", 1, sharing="mps"), b=gpus("b", 1, model="A100-80GB"))
    shared = floor.start("shared", fraction=0.9, priority=4)
    alone = floor.start("alone", gpus=1, priority=1, models=["A100-80GB"])
    floor.start("important", memory="40GiB", priority=8)
    assert [floor.lease(one).notice is not None for one in (shared, alone)] == [False, True]


def test_priority_alone_takes_no_lease_that_is_guaranteed_in_part():
    floor = Floor(a=4)
    floor.pool.set_quota(0, Quota("red", 2), "admin")
    red = floor.start("red", gpus=4, team="red", priority=1)
    floor.start("urgent", gpus=1, team="blue", priority=10)
    assert floor.lease(red).notice is None


def test_a_guarantee_is_there_though_all_in_its_way_is_one_lease_that_borrowed_in_part():
    floor = Floor(a=4)
    floor.pool.set_quota(0, Quota("red", 2), "admin")
    floor.pool.set_quota(0, Quota("blue", 2), "admin")
    floor.start("red", gpus=4, team="red", priority=9)
    blue = floor.start("blue", gpus=2, team="blue", priority=1)
    floor.at(31)
    assert floor.running(blue) == [True]


def test_two_who_ask_for_their_guarantees_have_them_within_one_grace():
    floor = Floor(a=2, b=2)
    for team in ("red", "blue"):
        floor.pool.set_quota(0, Quota(team, 2), "admin")
    for number in range(4):
        floor.start(f"green{number}", gpus=1, team="green", priority=9)
    red, blue = floor.start("red", gpus=2, team="red"), floor.start("blue", gpus=2, team="blue")
    floor.at(31)
    assert floor.running(red, blue) == [True, True]
