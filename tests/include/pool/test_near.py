"""Which GPUs of a node work is given: linked ones where there are enough, and whole islands stay whole."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import InputError
from include.pool.ask import Ask
from include.pool.state import Device
from include.pool.topology import choose, most, near
from tests.include.pool.floor import Floor


def row(*places: tuple[str, int]) -> list[Device]:
    """GPUs by island ("": none) and NUMA node (-1: not known)."""
    return [Device(f"g{index}", index, "H100-80GB", 81_920, island=island, numa=numa) for index, (island, numa) in enumerate(places)]


EIGHT = row(*[("a", 0)] * 4, *[("b", 1)] * 4)


def indexes(devices: tuple[Device, ...]) -> list[int]:
    return [device.index for device in devices]


def test_several_come_from_one_island_and_the_smallest_that_has_room() -> None:
    assert indexes(choose(EIGHT[2:], 2)) == [2, 3]
    assert indexes(choose(EIGHT[2:], 3)) == [4, 5, 6]
    assert indexes(choose(EIGHT[1:], 1)) == [1]


def test_inside_an_island_one_numa_node_counts_and_without_islands_it_alone() -> None:
    assert indexes(choose(row(("a", 0), ("a", 1), ("a", 0), ("a", 1)), 2)) == [0, 2]
    assert indexes(choose(row(("", 0), ("", 1), ("", 1)), 2)) == [1, 2]


def test_more_than_any_island_has_come_from_as_few_as_possible() -> None:
    assert indexes(choose(EIGHT[1:], 6)) == [1, 2, 4, 5, 6, 7]
    assert indexes(choose(row(("a", -1), ("a", -1), ("", -1), ("b", -1), ("b", -1), ("b", -1)), 4)) in ([0, 3, 4, 5], [2, 3, 4, 5])


def test_where_nothing_is_known_the_first_are_taken() -> None:
    assert indexes(choose(row(*[("", -1)] * 4)[1:], 2)) == [1, 2]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.integers(-1, 1)), min_size=1, max_size=7), st.data())
def test_what_is_chosen_is_as_near_as_any_choice_could_be(places: list[tuple[str, int]], data: st.DataObject) -> None:
    free = row(*places)
    wanted = data.draw(st.integers(1, len(free)))
    chosen = choose(free, wanted)
    assert len(set(indexes(chosen))) == wanted and all(device in free for device in chosen)
    if any(near(some, "nvlink") for some in combinations(free, wanted)):
        assert near(chosen, "nvlink")
    elif any(near(some, "numa") for some in combinations(free, wanted)):
        assert near(chosen, "numa")
    assert most(free, "nvlink") >= most(chosen, "nvlink")


def test_a_request_that_prefers_it_goes_to_the_node_that_has_it() -> None:
    floor = Floor(a=row(("x", 0), ("x", 0), ("y", 1), ("y", 1)), b=[*row(*[("z", 0)] * 4)])
    floor.devices["b"] = [Device(f"b{d.index}", d.index, d.model, d.memory_mib, island=d.island) for d in floor.devices["b"]]
    floor.report("b")
    wide = floor.start("wide", gpus=4, prefer={"within": "nvlink"})
    assert floor.grants(wide)[0].node == "b" and not wide.note
    pair = floor.start("pair", gpus=2, prefer={"within": "nvlink"})
    assert floor.grants(pair)[0].indexes in ((0, 1), (2, 3)) and not pair.note


def test_where_none_has_it_starts_all_the_same_and_is_told() -> None:
    floor = Floor(a=row(("x", 0), ("x", 0), ("y", 1), ("y", 1)))
    wide = floor.start("wide", gpus=4, prefer={"within": "nvlink"})
    assert wide.note == "Its GPUs of a are not all linked to each other by NVLink, as it prefers."
    floor.release(wide)
    floor.start("one", gpus=1)
    near = floor.start("near", gpus=2, prefer={"within": "numa"})
    assert not near.note and floor.grants(near)[0].indexes == (2, 3)


def test_what_is_kept_for_who_waits_is_near_each_other_where_that_costs_no_time() -> None:
    floor = Floor(a=row(("x", 0), ("x", 0), ("y", 1), ("y", 1)))
    for number, lasts in enumerate((100, 500, 100, 100)):
        floor.start(f"held{number}", gpus=1, duration_s=lasts)
    waits = floor.start("waits", gpus=2, prefer={"within": "nvlink"})
    kept = floor.pool._ready.earliest(waits.ask)
    assert waits.starts_at == 100 and kept is not None and sorted(kept.spots) == [("a", "g2"), ("a", "g3")]


def test_a_gangs_nodes_that_come_free_by_the_same_time_are_kept_in_one_rack() -> None:
    floor = Floor(a=1, b=1, c=1)
    floor.labels = {"a": {"rack": "r1"}, "b": {"rack": "r2"}, "c": {"rack": "r2"}}
    for name in "abc":
        floor.report(name)
    for number, lasts in enumerate((100, 100, 100)):
        floor.start(f"held{number}", gpus=1, duration_s=lasts)
    gang = floor.start("gang", gpus=1, nodes=2, prefer={"same": "rack"})
    kept = floor.pool._ready.earliest(gang.ask)
    assert kept is not None and kept.at == 100 and {node for node, _ in kept.spots} == {"b", "c"}


@pytest.mark.parametrize(
    "ask",
    [
        {"gpus": 1, "prefer": {"within": "nvlink"}},
        {"gpus": 2, "prefer": {"within": "pcie"}},
        {"mig": "1g.10gb", "prefer": {"within": "numa"}},
    ],
)
def test_a_mistake_is_named(ask: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"request\.prefer"):
        Ask.from_json(ask)
    kept = Ask.from_json({"gpus": 2, "nodes": 2, "prefer": {"within": "nvlink", "same": "rack"}})
    assert Ask.from_json(kept.to_json()) == kept
