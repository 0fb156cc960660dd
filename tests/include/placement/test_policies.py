"""What each policy is for, on clusters small enough to see."""

from __future__ import annotations

import pytest

from include.errors import InputError
from include.placement import placer as placer_module
from include.placement.mix import Mix
from include.placement.node import Device, Node
from include.placement.placer import Placer, place
from include.placement.policies import FGD, BestFit, Random, Updraft
from include.placement.policies.updraft import LOOK_EVERY
from include.placement.workload import Workload
from tests.include.placement.clusters import node


def gpu(uuid: str, free: int) -> Device:
    return Device(uuid, "T4", 16384, free)


def test_ties_go_to_the_smallest_name_whatever_the_order() -> None:
    nodes = [node("n2"), node("n1"), node("n3")]
    for policy in (BestFit(), FGD(Mix([Workload(gpus=1)])), Updraft()):
        grant = place(Workload(gpus=1), nodes, policy).grant
        assert grant is not None and grant.node == "n1", policy.name


def test_best_fit_fills_the_fullest_gpu() -> None:
    shared = Node("n0", 32000, 65536, (gpu("a", 1000), gpu("b", 600), gpu("c", 450)))
    grant = place(Workload(milli=400), [shared], BestFit()).grant
    assert grant is not None and grant.uuids == ("c",)


def test_fgd_leaves_the_gap_that_a_typical_task_fits() -> None:
    shared = Node("n0", 32000, 65536, (gpu("a", 1000), gpu("b", 700)))
    grant = place(Workload(milli=400), [shared], FGD(Mix([Workload(milli=600)] * 9 + [Workload(milli=400)]))).grant
    assert grant is not None and grant.uuids == ("a",)


def test_updraft_spends_no_cpu_that_gpus_on_the_node_will_want() -> None:
    expected = Mix([Workload(gpus=1, cpu_milli=8000)] * 20 + [Workload(cpu_milli=16000)])
    tight, ample = node("a-tight", 4, cpu=32000), node("b-ample", 4, cpu=96000)
    grant = place(Workload(cpu_milli=16000), [tight, ample], Updraft(expected)).grant
    assert grant is not None and grant.node == "b-ample"


def test_updraft_keeps_a_scarce_model_for_those_who_need_it() -> None:
    expected = Mix([Workload(gpus=1)] * 2 + [Workload(gpus=1, models=frozenset({"A10"}))] * 8)
    nodes = [node("a", 2, model="A10"), node("b", 2, model="T4")]
    grant = place(Workload(gpus=1), nodes, Updraft(expected)).grant
    assert grant is not None and grant.node == "b"


def test_updraft_learns_from_the_requests_themselves() -> None:
    nodes = [node("a-tight", 4, cpu=32000), node("b-ample", 4, cpu=96000)]
    placer = Placer(nodes, Updraft())
    for _ in range(20):
        grant = placer.place(Workload(gpus=1, cpu_milli=8000)).grant
        if grant is not None:
            placer.release(Workload(gpus=1, cpu_milli=8000), grant)
    grant = placer.place(Workload(cpu_milli=16000)).grant
    assert grant is not None and grant.node == "b-ample"


def test_random_repeats_itself_by_seed() -> None:
    nodes = [node(f"n{index}") for index in range(9)]

    def chosen(seed: int) -> list[str]:
        placer = Placer(nodes, Random(seed))
        return [grant.node for _ in range(9) if (grant := placer.place(Workload(milli=100)).grant)]

    assert chosen(1) == chosen(1) != chosen(2)


def test_what_others_take_from_a_node_is_no_longer_offered() -> None:
    placer = Placer([Node("n0", 32000, 65536, (gpu("a", 1000),))], BestFit())
    assert placer.best(Workload(milli=500)) is not None
    placer.renew(Node("n0", 32000, 65536, (gpu("a", 400),)))
    assert placer.best(Workload(milli=500)) is None
    with pytest.raises(InputError, match="node n9: is not the node"):
        placer.renew(node("n9"))


def test_a_placer_that_forgets_its_scores_places_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = [Workload(milli=milli, cpu_milli=500) for milli in (300, 500, 200, 300, 470, 190, 810)] * 3
    nodes = [node(f"n{index}", 4) for index in range(3)]
    usual = Placer(nodes, Updraft())
    expected = [usual.place(request).grant for request in workload]
    monkeypatch.setattr(placer_module, "LONGEST_LOG", 2)
    monkeypatch.setattr(placer_module, "MOST_KEPT", 2)
    forgetful = Placer(nodes, Updraft())
    assert [forgetful.place(request).grant for request in workload] == expected


def test_space_is_left_open_only_where_what_is_taken_stays() -> None:
    """A share that opens a GPU of its own pays as long as nothing leaves; where as much leaves as comes, shares are put together."""
    nodes = [Node(f"n{number}", 10**6, 10**6, tuple(Device(f"n{number}/{at}", "T4") for at in range(4))) for number in range(10)]
    policy = Updraft()
    placer = Placer(nodes, policy)
    for _ in range(LOOK_EVERY):
        placer.learn(Workload(milli=400))
    assert policy.openness > 0
    for _ in range(LOOK_EVERY * 2):
        grant = placer.place(Workload(milli=400)).grant
        assert grant is not None
        placer.release(Workload(milli=400), grant)
    assert policy.openness < 0.05
