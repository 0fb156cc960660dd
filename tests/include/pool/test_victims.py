"""Never more victims than needed, held against trying everything."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.pool.ask import Ask
from include.pool.pool import Pool
from include.pool.state import LeaseState, Quota, RequestState
from tests.include.pool.floor import Floor, gpus

sizes = st.one_of(
    st.fixed_dictionaries({"gpus": st.integers(1, 3)}),
    st.fixed_dictionaries({"fraction": st.sampled_from([0.2, 0.3, 0.5, 0.7])}),
    st.fixed_dictionaries({"memory": st.sampled_from(["10GiB", "30GiB"])}),
)
holder = st.tuples(sizes, st.integers(1, 6), st.booleans(), st.integers(0, 50))


def fits_without(floor: Floor, gone: tuple[str, ...], ask: Ask) -> bool:
    """Whether the ask would fit if these leases were gone: a pool restored without them says so itself."""
    pool = Pool(floor.pool.config)
    leases = [lease for lease in floor.pool.leases.values() if lease.id not in gone]
    requests = [floor.pool.requests[lease.request_id] for lease in leases]
    pool.restore(floor.pool.nodes.values(), requests, leases, [])
    return pool.what_if(floor.now, ask).possible_now


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(holder, max_size=7), sizes, st.integers(2, 10))
def test_victims_are_the_cheapest_that_would_do(
    holders: list[tuple[dict[str, object], int, bool, int]], size: dict[str, object], high: int
):
    floor = Floor(a=gpus("a", 2, sharing="mps"), b=gpus("b", 3, sharing="mps"))
    for number, (wants, priority, preemptible, at) in enumerate(sorted(holders, key=lambda one: one[3])):
        floor.now = float(at)
        floor.start(f"h{number}", **wants, priority=priority, preemptible=preemptible)
    floor.now = 100.0
    for request in list(floor.pool.requests.values()):
        if request.state is RequestState.WAITING:
            floor.pool.cancel(floor.now, request.id, "test")
    ask = Ask.from_json(size | {"priority": high})
    fits = fits_without(floor, (), ask)
    may_stop = {
        lease.id: floor.pool.requests[lease.request_id].ask.priority
        for lease in floor.pool.leases.values()
        if floor.pool.requests[lease.request_id].ask.preemptible and floor.pool.requests[lease.request_id].ask.priority < high
    }
    every_set = chain.from_iterable(combinations(sorted(may_stop), count) for count in range(1, len(may_stop) + 1))
    enough = [some for some in every_set if not fits and fits_without(floor, some, ask)]

    floor.start("important", **size, priority=high)

    told = tuple(lease.id for lease in floor.pool.leases.values() if lease.state is LeaseState.NOTICED)
    if fits or not enough:
        assert told == ()
    else:
        best = min((max(may_stop[one] for one in some), len(some)) for some in enough)
        assert told in [tuple(some) for some in enough]
        assert (max(may_stop[one] for one in told), len(told)) == best


def test_of_equals_the_one_with_the_least_work_lost_stops():
    floor = Floor(a=2)
    floor.start("old", gpus=1, priority=3)
    floor.now = 500.0
    young = floor.start("young", gpus=1, priority=3)
    floor.now = 600.0
    floor.start("important", gpus=1, priority=4)
    assert [lease.request_id for lease in floor.pool.leases.values() if lease.notice] == [young.id]


def test_the_victim_returns_to_its_place_in_the_queue_and_the_important_one_starts():
    floor = Floor(a=1)
    victim = floor.start("victim", gpus=1, priority=3)
    floor.at(10)
    important = floor.start("important", gpus=1, priority=4)
    assert floor.lease(victim).notice is not None and important.state is RequestState.WAITING
    floor.at(20)
    floor.release(victim, requeue=True)
    assert (victim.state, victim.submitted_at, victim.preemptions) == (RequestState.WAITING, 0.0, 1)
    assert important.state is RequestState.GRANTED
    floor.release(important)
    assert victim.state is RequestState.GRANTED


def test_one_who_does_not_stop_is_ended_at_the_deadline():
    floor = Floor(a=1)
    victim = floor.start("victim", gpus=1, priority=3, grace_s=7)
    important = floor.start("important", gpus=1, priority=4)
    floor.at(6.9)
    assert victim.state is RequestState.GRANTED
    floor.at(7)
    assert (victim.state, important.state) == (RequestState.WAITING, RequestState.GRANTED)


def test_equal_priority_and_the_unpreemptible_are_never_stopped():
    floor = Floor(a=2)
    floor.start("equal", gpus=1, priority=4)
    floor.start("firm", gpus=1, priority=1, preemptible=False)
    floor.start("important", gpus=1, priority=4)
    assert not any(lease.notice for lease in floor.pool.leases.values())


def test_nobody_is_stopped_for_a_place_that_is_free_sooner():
    floor = Floor(a=1)
    floor.start("brief", gpus=1, priority=3, duration_s=100)
    floor.at(80)
    floor.start("important", gpus=1, priority=9)
    assert not any(lease.notice for lease in floor.pool.leases.values())


def test_while_victims_stop_no_more_are_told_to():
    floor = Floor(a=3)
    for number in range(3):
        floor.start(f"low{number}", gpus=1, priority=2)
    floor.start("important", gpus=1, priority=9)
    for now in (1.0, 2.0, 3.0):
        floor.now = now
        floor.start(f"other{now}", gpus=1, priority=2)
    assert sum(lease.notice is not None for lease in floor.pool.leases.values()) == 1


def test_a_gang_has_its_nodes_cleared_and_starts_at_once_on_all():
    floor = Floor(a=2, b=2, c=2)
    low = [floor.start(f"low{priority}", gpus=2, priority=priority) for priority in (1, 3, 2)]
    gang = floor.start("gang", gpus=2, nodes=2, priority=5)
    assert [floor.lease(request).notice is not None for request in low] == [True, False, True]
    for lease in [lease for lease in floor.pool.leases.values() if lease.notice]:
        floor.release(floor.pool.requests[lease.request_id], requeue=True)
    assert [grant.node for grant in floor.grants(gang)] == sorted({grant.node for grant in floor.grants(gang)})
    assert len(floor.grants(gang)) == 2


def test_what_has_run_long_does_not_come_back_before_the_one_it_made_room_for():
    floor = Floor(a=1)
    low = floor.start("low", gpus=1, priority=2)
    floor.at(4000)
    high = floor.start("high", gpus=1, priority=8)
    floor.release(low, requeue=True)
    assert floor.running(low, high) == [False, True]
    floor.at(4100)
    floor.release(high)
    floor.at(4200)
    assert floor.running(low) == [True]
    assert not any(lease.notice for lease in floor.pool.leases.values())


def test_who_has_waited_long_enough_is_not_stopped_by_who_comes_later():
    floor = Floor(a=1)
    first = floor.start("first", gpus=1, priority=9, preemptible=False)
    patient = floor.start("patient", gpus=1, priority=2)
    floor.at(9 * 600)
    floor.release(first)
    assert floor.running(patient) == [True]
    floor.start("latecomer", gpus=1, priority=10)
    assert not any(lease.notice for lease in floor.pool.leases.values())


work = st.tuples(
    st.one_of(sizes, st.just({"gpus": 1, "nodes": 2})),
    st.fixed_dictionaries(
        {"priority": st.integers(1, 10), "team": st.sampled_from(["red", "blue"]), "preemptible": st.sampled_from([True, True, False])},
        optional={"duration_s": st.sampled_from([20.0, 700.0]), "grace_s": st.sampled_from([1.0, 200.0])},
    ),
    st.integers(0, 3000),
    st.sampled_from([20, 300, 900]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(work, min_size=2, max_size=12), st.sampled_from([0, 2]), st.sampled_from([10.0, 3600.0]))
def test_every_work_ends_however_often_it_was_stopped(
    coming: list[tuple[dict[str, object], dict[str, object], int, int]], guaranteed: int, default_s: float
):
    """Work that starts anew each time, on GPUs of all sorts, ends all the same: nobody stops and returns without end."""
    floor = Floor(replace(Floor().pool.config, default_duration_s=default_s, ageing_s=60.0), a=3, b=gpus("b", 2, sharing="mps"))
    floor.pool.set_quota(0, Quota("red", guaranteed), "admin")
    coming = sorted(coming, key=lambda one: one[2], reverse=True)
    lasts: dict[str, int] = {}
    while (coming or floor.pool.requests) and floor.now < 60_000:
        floor.now += 5
        while coming and coming[-1][2] <= floor.now:
            size, rest, _, length = coming.pop()
            lasts[floor.ask(f"k{len(lasts)}", **size, **rest).id] = length
        for lease in list(floor.pool.leases.values()):
            if lease.notice is not None or floor.now - lease.granted_at >= lasts[lease.request_id]:
                floor.pool.release(floor.now, lease.id, lease.token, requeue=lease.notice is not None)
        floor.pool.tick(floor.now)
        assert all(request.preemptions <= len(lasts) for request in floor.pool.requests.values())
    assert not floor.pool.requests


def test_notices_are_withdrawn_when_the_one_they_were_for_finds_another_place():
    floor = Floor(a=1, b=1)
    firm = floor.start("firm", gpus=1, priority=9, preemptible=False)
    low = floor.start("low", gpus=1, priority=2)
    important = floor.start("important", gpus=1, priority=5)
    assert floor.lease(low).notice is not None
    floor.release(firm)
    assert floor.running(important, low) == [True, True]
    assert floor.lease(low).notice is None


def test_what_was_freed_for_one_is_not_taken_by_another_who_came_meanwhile():
    floor = Floor(a=1)
    low = floor.start("low", gpus=1, priority=2, grace_s=100)
    important = floor.start("important", gpus=1, priority=5)
    floor.now = 50
    higher = floor.start("higher", gpus=1, priority=6)
    floor.release(low, requeue=True)
    assert floor.running(important, higher) == [True, False]


def test_the_place_that_is_being_cleared_is_kept_though_others_have_overrun():
    """Leases that should have ended long ago look nearer than a notice's deadline; nobody else is let in where victims stop."""
    floor = Floor(replace(Floor().pool.config, default_duration_s=10.0), a=gpus("a", 1, sharing="mps"), b=1)
    floor.start("overrun", gpus=1, priority=9, preemptible=False, models=["H100-80GB"], labels={"updraft.io/node": "b"})
    low = [floor.start(f"low{number}", fraction=0.5, priority=2) for number in range(2)]
    floor.at(1000)
    floor.ask("patient", fraction=0.5, priority=2)
    important = floor.start("important", gpus=1, priority=8)
    assert [floor.lease(request).notice is not None for request in low] == [True, True]
    for request in low:
        floor.release(request, requeue=True)
    assert floor.running(important, *low) == [True, False, False]
    assert not any(lease.notice for lease in floor.pool.leases.values())


def test_who_has_just_saved_its_work_is_stopped_before_one_who_began_later():
    floor = Floor(a=2)
    old, young = floor.start("old", gpus=1, priority=2), None
    floor.now = 500
    young = floor.start("young", gpus=1, priority=2)
    floor.at(900)
    floor.pool.renew(900, old.lease_id, floor.lease(old).token, saved_s_ago=60)
    floor.start("urgent", gpus=1, priority=9, preemptible=False)
    assert [floor.lease(one).state for one in (old, young)] == [LeaseState.NOTICED, LeaseState.ACTIVE]


def test_word_of_a_checkpoint_from_before_the_lease_or_from_the_future_changes_nothing():
    floor = Floor(a=1)
    floor.now = 500
    one = floor.start("one", gpus=1)
    for told, kept in ((1e9, 500.0), (0.0, 700.0), (50.0, 700.0), (-100.0, 700.0)):
        floor.now = 700
        floor.pool.renew(700, one.lease_id, floor.lease(one).token, saved_s_ago=told)
        assert floor.lease(one).saved_at == kept
