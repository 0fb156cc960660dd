"""GPUs are cut anew for who finds no instance of its profile; what is held stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.pool.errors import Impossible
from include.pool.pool import Pool
from include.pool.recut import PATIENCE_S, PAUSE_S
from include.pool.state import RECUT_LABEL, Device, RequestState
from tests.include.pool.floor import Floor


def instances(gpu: str, *places: tuple[str, int]) -> list[Device]:
    return [
        Device(f"{gpu}/{profile}@{start}", index, "H100-80GB", 10_000, mig=profile, parent=gpu, first_slice=start)
        for index, (profile, start) in enumerate(places)
    ]


def floor(*places: tuple[str, int], allowed: bool = True) -> Floor:
    made = Floor(a=instances("g0", *places))
    made.labels["a"] = {RECUT_LABEL: "true"} if allowed else {}
    made.report("a")
    return made


def do_cuts(made: Floor) -> None:
    """What an agent does, and its next report."""
    for one in made.pool.nodes["a"].cuts:
        left = [device for device in made.devices["a"] if device.uuid not in one.destroy]
        made.devices["a"] = left + instances(one.parent, *one.create)
    made.report("a")
    made.pool.tick(made.now)


SEVEN = tuple(("1g.10gb", start) for start in range(1, 8))


def test_idle_instances_give_way_to_the_one_that_is_asked_for() -> None:
    made = floor(*SEVEN)
    small = made.start("small", mig="1g.10gb")
    large = made.start("large", mig="3g.40gb")
    held = made.grants(small)[0].uuids[0]
    (cut,) = made.pool.nodes["a"].cuts
    assert held not in cut.destroy
    assert "is being cut" in large.reasons[0]
    do_cuts(made)
    assert made.grants(large)[0].model == "H100-80GB 3g.40gb"
    assert made.pool.nodes["a"].cuts == ()
    assert held in {device.uuid for device in made.devices["a"]}


def test_what_is_to_go_is_offered_to_nobody_meanwhile() -> None:
    made = floor(("3g.40gb", 1), ("3g.40gb", 5))
    made.start("whole", mig="7g.80gb")
    late = made.start("late", mig="3g.40gb")
    assert late.state is RequestState.WAITING


def test_without_the_label_nothing_is_cut_and_the_profile_is_impossible() -> None:
    made = floor(*SEVEN, allowed=False)
    with pytest.raises(Impossible):
        made.start("large", mig="3g.40gb")
    assert made.pool.nodes["a"].cuts == ()


def test_what_no_cut_gives_is_refused_at_once() -> None:
    made = floor(*SEVEN)
    for fields in ({"mig": "3g.40gb", "gpus": 3}, {"mig": "3g.71gb"}):
        with pytest.raises(Impossible):
            made.start("k", **fields)


def test_a_cut_comes_before_preemption() -> None:
    made = floor(("3g.40gb", 1), ("1g.10gb", 5), ("1g.10gb", 6))
    low = made.start("low", mig="3g.40gb", priority=1)
    high = made.start("high", mig="3g.40gb", priority=9)
    assert made.lease(low).notice is None
    do_cuts(made)
    assert made.running(low, high) == [True, True]


def test_an_instance_whose_place_is_not_known_or_that_has_a_process_is_left_alone() -> None:
    made = floor(*SEVEN)
    made.devices["a"] = [replace(device, first_slice=0) for device in made.devices["a"]]
    made.report("a")
    made.start("large", mig="3g.40gb")
    assert made.pool.nodes["a"].cuts == ()


def test_a_cut_that_is_never_done_is_given_up_and_not_tried_again_at_once() -> None:
    made = floor(*SEVEN)
    large = made.start("large", mig="3g.40gb")
    made.now = PATIENCE_S
    made.report("a")
    made.pool.tick(made.now)
    (cut,) = made.pool.nodes["a"].cuts
    assert cut.failed
    assert made.start("small", mig="1g.10gb", gpus=7).state is RequestState.GRANTED
    made.release(made.pool.requests[made.pool.leases[next(iter(made.pool.leases))].request_id])
    made.now = PATIENCE_S + PAUSE_S
    made.report("a")
    made.pool.tick(made.now)
    assert [one.failed for one in made.pool.nodes["a"].cuts] == [False]
    do_cuts(made)
    assert large.state is RequestState.GRANTED


def test_a_pool_that_reads_its_books_anew_goes_on_with_the_cut() -> None:
    made = floor(*SEVEN)
    large = made.start("large", mig="3g.40gb")
    old = made.pool
    made.pool = Pool(old.config)
    made.pool.restore(old.nodes.values(), old.requests.values(), old.leases.values(), old.quotas.values(), old.next_token)
    made.pool.tick(made.now)
    assert len(made.pool.nodes["a"].cuts) == 1
    do_cuts(made)
    assert made.pool.requests[large.id].state is RequestState.GRANTED


def test_those_who_wait_are_served_by_one_cut() -> None:
    made = floor(("7g.80gb", 1))
    asked = [made.ask(f"k{number}", mig=profile) for number, profile in enumerate(("3g.40gb", "2g.20gb", "1g.10gb"))]
    made.pool.tick(made.now)
    assert len(made.pool.nodes["a"].cuts) == 1
    do_cuts(made)
    assert made.running(*asked) == [True, True, True]


def test_an_idle_node_of_a_cluster_is_cut_as_a_whole_by_a_named_configuration() -> None:
    devices = [Device(f"k8s/n/mig-1g.10gb-{n}", n, "H100-80GB", 10_000, mig="1g.10gb") for n in range(14)]
    made = Floor()
    made.devices["n"], made.labels["n"] = devices, {RECUT_LABEL: "true", "nvidia.com/gpu.count": "2"}
    made.report("n", source="kubernetes")
    small = made.start("small", mig="1g.10gb")
    large = made.start("large", mig="3g.40gb", gpus=3)
    assert made.pool.nodes["n"].cuts == ()  # somebody runs there
    made.release(small)
    (cut,) = made.pool.nodes["n"].cuts
    assert cut.create == (("3g.40gb", 0),) * 4
    made.devices["n"] = [Device(f"k8s/n/mig-3g.40gb-{n}", n, "H100-80GB", 40_000, mig="3g.40gb") for n in range(4)]
    made.report("n", source="kubernetes")
    made.pool.tick(made.now)
    assert large.state is RequestState.GRANTED


def test_who_gets_an_instance_by_anothers_cut_has_no_second_gpu_cut() -> None:
    made = Floor(a=[*instances("g0", ("7g.80gb", 1)), *instances("g1", ("7g.80gb", 1))])
    made.labels["a"] = {RECUT_LABEL: "true"}
    made.report("a")
    asked = [made.ask(f"k{number}", mig="3g.40gb") for number in range(2)]
    made.pool.tick(made.now)
    assert len(made.pool.nodes["a"].cuts) == 1
    third = made.start("third", mig="3g.40gb")
    assert len(made.pool.nodes["a"].cuts) == 2
    do_cuts(made)
    assert made.running(*asked, third) == [True, True, True]
