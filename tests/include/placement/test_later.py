"""Where work goes by what comes free later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.placement.fleet import Fleet
from include.placement.later import ENOUGH, Views
from include.placement.mix import Mix
from include.placement.node import Device, Node
from include.placement.placer import Placer
from include.placement.policies import Updraft
from include.placement.stays import Stay, Stays
from include.placement.workload import Workload

ONE, PAIR = Workload(gpus=1), Workload(gpus=2)


def node(name: str, gpus: int) -> Node:
    return Node(name, 10**6, 10**6, tuple(Device(f"{name}/{index}", "G2") for index in range(gpus)))


def placed(ends_a: float | None, ends_b: float | None, taught: int = ENOUGH) -> str:
    """Where one GPU goes when one of two is held on either node; ``ends`` by the holder's word."""
    policy = Updraft(Mix([ONE, PAIR] * 20))
    placer = Placer([node("a", 2), node("b", 2)], policy)
    for _ in range(taught):
        policy.recall("usual", 600.0, by_itself=True)
    for name, ends in (("a", ends_a), ("b", ends_b)):
        policy.begun(name, Stay(name, (0,), 1000, "usual", 0.0, ends), 0.0)
        grant = next(grant for grant in [placer.find(ONE)] if grant)
        placer.take(ONE, grant if grant.node == name else type(grant)(name, (0,), (f"{name}/0",), 1000, 0.0))
    policy.at(1.0)
    found = placer.find(ONE)
    assert found is not None
    return found.node


@pytest.mark.parametrize(("ends_a", "ends_b", "expected"), [(100.0, 1e9, "b"), (1e9, 100.0, "a")])
def test_a_pair_that_soon_is_free_is_left_whole(ends_a: float, ends_b: float, expected: str):
    assert placed(ends_a, ends_b) == expected


def test_nothing_is_said_of_later_before_enough_has_ended():
    assert placed(100.0, 1e9, taught=ENOUGH - 1) == "a"


held = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([200, 500, 1000]), st.floats(0, 5_000)), max_size=12)


@given(held, st.floats(0, 4_000), st.sampled_from("abc"))
@settings(max_examples=60, deadline=None)
def test_a_node_followed_alone_is_as_all_made_anew(some: list[tuple[str, int, int, float]], now: float, gone: str):
    fleet, stays = Fleet([node(name, 4) for name in "abc"]), Stays()
    for seconds in range(ENOUGH):
        stays.lengths.ended("usual", 60.0 * seconds)
    views = Views(fleet, stays)
    for key, (name, device, milli, ends) in enumerate(some):
        row = fleet.row_of[name]
        if fleet.free[row, device] >= milli:
            stays.begun(key, Stay(name, (device,), milli, "usual", 0.0, ends), 0.0)
            fleet.free[row, device] -= milli
            fleet.full[row] = (fleet.free[row] == 1000).sum()
    views.renew(now)
    for key, (name, device, milli, _) in enumerate(some):
        if name == gone and any(stay.devices == (device,) and stay.milli == milli for stay, _ in stays.on(name)):
            stays.over(key, now)
    row = fleet.row_of[gone]
    fleet.free[row] = 1000 - sum(np.eye(4, dtype=int)[stay.devices[0]] * stay.milli for stay, _ in stays.on(gone))
    fleet.full[row] = (fleet.free[row] == 1000).sum()
    views.follow(row)
    followed = [array.copy() for array in (views.free, views.cpu, views.memory, views.full)]
    views.renew(now)
    for one, other in zip(followed, (views.free, views.cpu, views.memory, views.full), strict=True):
        assert (one == other).all()
