"""A gang's nodes share a rack where one has room for all of it; where none has, it starts all the same and is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import InputError
from include.pool.ask import Ask
from tests.include.pool.floor import Floor


def fleet(racks: dict[str, tuple[int, str]]) -> Floor:
    """Node → its GPUs and its rack ("": none)."""
    floor = Floor(**{node: gpus for node, (gpus, _) in racks.items()})
    for node, (_, rack) in racks.items():
        floor.labels[node] = {"rack": rack} if rack else {}
        floor.report(node)
    return floor


def test_a_gang_goes_to_the_smallest_rack_that_has_room_for_all_of_it():
    floor = fleet({"a": (2, "x"), "b": (2, "y"), "c": (2, "y"), "d": (2, "z"), "e": (2, "z"), "f": (2, "z")})
    gang = floor.start("gang", gpus=2, nodes=2, prefer={"same": "rack"})
    assert {grant.node for grant in floor.grants(gang)} == {"b", "c"} and not gang.note
    larger = floor.start("larger", gpus=2, nodes=3, prefer={"same": "rack"})
    assert {grant.node for grant in floor.grants(larger)} == {"d", "e", "f"} and not larger.note


def test_where_no_rack_has_room_it_starts_all_the_same_and_is_told():
    floor = fleet({"a": (2, "x"), "b": (2, "y"), "c": (2, "")})
    gang = floor.start("gang", gpus=2, nodes=3, prefer={"same": "rack"})
    assert len(floor.grants(gang)) == 3
    assert gang.note == "Its nodes don't share one rack, as it prefers: no one had room for all of it (they are of none, x, y)."
    granted = [event for event in floor.pool.take_changes().events if event.kind == "granted"]
    assert granted[-1].text.endswith(gang.note)


@pytest.mark.parametrize(
    "prefer", ["rack", {"same": ""}, {"same": 3}, {"near": "rack"}, {"same": "rack", "near": "x"}, {"same": "x" * 254}]
)
def test_a_mistake_is_named(prefer: object):
    with pytest.raises(InputError, match=r"request\.prefer"):
        Ask.from_json({"gpus": 1, "nodes": 2, "prefer": prefer})


def test_it_is_about_several_nodes():
    with pytest.raises(InputError, match="about several nodes"):
        Ask.from_json({"gpus": 4, "prefer": {"same": "rack"}})
    ask = Ask.from_json({"gpus": 4, "nodes": 2, "prefer": {"same": "rack"}})
    assert Ask.from_json(ask.to_json()) == ask


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["x", "y", "z", ""]), st.integers(0, 3)), min_size=2, max_size=7),
    st.integers(1, 3),
    st.integers(2, 3),
)
def test_the_preference_is_met_whenever_it_can_be_and_never_keeps_anybody_waiting(
    nodes: list[tuple[int, str, int]], gpus: int, number: int
):
    floor = fleet({f"n{index}": (size, rack) for index, (size, rack, _) in enumerate(nodes)})
    for index, (_, _, busy) in enumerate(nodes):
        for _ in range(busy):
            floor.ask(f"b{index}", gpus=1, labels={"updraft.io/node": f"n{index}"})
            floor.pool.tick(0.0)
    free = {
        f"n{index}": sum(floor.pool.free_milli(f"n{index}", f"n{index}-{one}") == 1000 for one in range(nodes[index][0]))
        for index in range(len(nodes))
    }
    roomy = [node for node, some in free.items() if some >= gpus]
    racks = {rack: sum(floor.labels[node].get("rack") == rack for node in roomy) for rack in "xyz"}
    plain, preferring = (
        floor.pool.what_if(0.0, Ask(gpus=gpus, nodes=number, priority=10, preemptible=False, same=same)) for same in ("", "rack")
    )
    assert bool(plain.grants) == bool(preferring.grants) == (len(roomy) >= number)
    if max(racks.values()) >= number:
        assert len({floor.labels[grant.node].get("rack") for grant in preferring.grants}) == 1
    assert len({grant.node for grant in preferring.grants}) == len(preferring.grants)
