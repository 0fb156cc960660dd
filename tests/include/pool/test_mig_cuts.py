"""MIG's layouts by NVIDIA's tables, and cuts around what is held."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.pool import mig
from include.pool.mig_cuts import PROFILES, Cut, Instance, additions, cut, fits, layouts, table

MODELS = sorted(PROFILES)


@pytest.mark.parametrize(("profile", "most"), [(0, 7), (1, 4), (2, 3), (3, 2), (4, 1), (5, 1)])
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_has_as_many_instances_of_a_profile_as_nvidia_says(model: str, profile: int, most: int) -> None:
    name = PROFILES[model][profile]
    instances: list[Instance] = []
    while (one := next(additions(table(model), instances, name), None)) is not None:
        instances.append(one)
    assert len(instances) == most


def test_layouts_that_nvidia_shows_are_valid_and_those_it_excludes_are_not() -> None:
    places = table("A100-40GB")
    assert fits(places, [Instance(0, "4g.20gb"), Instance(4, "2g.10gb"), Instance(6, "1g.5gb")])
    assert fits(places, [Instance(0, "3g.20gb"), Instance(4, "3g.20gb")])
    assert not fits(places, [Instance(0, "3g.20gb"), Instance(4, "4g.20gb")])  # 4g only from the first slice on
    assert not fits(places, [Instance(0, "4g.20gb"), Instance(4, "3g.20gb"), Instance(3, "1g.5gb")])
    assert not fits(places, [Instance(1, "2g.10gb")])


@pytest.mark.parametrize("model", MODELS)
def test_the_largest_layouts_are_alike_on_all_models(model: str) -> None:
    counted = {tuple(sorted(mig.slices(one.profile) for one in layout)) for layout in layouts(model)}
    assert {(1,) * 7, (7,), (3, 4), (3, 3), (1, 2, 4), (2, 2, 3)} <= counted
    assert all(sum(slices) <= 7 for slices in counted)


def test_an_unknown_model_is_not_cut() -> None:
    assert cut("L4-24GB", [], [], "1g.6gb") is None


def test_what_is_held_stays_and_an_idle_neighbour_makes_room() -> None:
    held, idle = [Instance(0, "3g.40gb")], [Instance(4, "1g.10gb"), Instance(5, "1g.10gb"), Instance(6, "1g.10gb")]
    found = cut("H100-80GB", held, idle, "3g.40gb")
    assert found is not None
    assert found[0] == Cut(tuple(idle), (Instance(4, "3g.40gb"),))
    assert cut("H100-80GB", [*held, idle[0]], idle[1:], "3g.40gb") is None


def test_an_idle_instance_that_is_not_in_the_way_stays() -> None:
    found = cut("H100-80GB", [], [Instance(0, "3g.40gb"), Instance(4, "3g.40gb")], "2g.20gb")
    assert found is not None
    assert len(found[0].destroy) == 1


def test_the_queue_gets_its_instances_in_the_same_cut() -> None:
    found = cut("H100-80GB", [], [Instance(0, "7g.80gb")], "3g.40gb", queue=["2g.20gb", "1g.10gb"])
    assert found is not None
    assert sorted(one.profile for one in found[0].create) == ["1g.10gb", "2g.20gb", "3g.40gb"]
    assert found[1][0] == 0


@st.composite
def gpus(draw: st.DrawFn) -> tuple[str, list[Instance], list[Instance]]:
    """A model, and a valid cut of it, each instance held or idle."""
    model = draw(st.sampled_from(MODELS))
    instances: list[Instance] = []
    for profile in draw(st.lists(st.sampled_from(PROFILES[model]), max_size=6)):
        options = list(additions(table(model), instances, profile))
        if options:
            instances.append(draw(st.sampled_from(options)))
    held = [one for one in instances if draw(st.booleans())]
    return model, held, [one for one in instances if one not in held]


@settings(deadline=None)
@given(gpus(), st.integers(0, 5), st.integers(1, 3), st.lists(st.integers(0, 5), max_size=3))
def test_a_cut_leaves_what_is_held_and_comes_to_a_valid_layout(
    gpu: tuple[str, list[Instance], list[Instance]], profile: int, count: int, queue: list[int]
) -> None:
    model, held, idle = gpu
    names = PROFILES[model]
    found = cut(model, held, idle, names[profile], count, [names[one] for one in queue])
    if found is None:
        places = table(model)
        options = [Instance(start, names[profile]) for start in places[names[profile]].starts]
        assert not any(fits(places, (*held, *some)) for some in combinations(options, count))
        return
    plan, _ = found
    assert set(plan.destroy) <= set(idle)
    after = [*held, *(one for one in idle if one not in plan.destroy), *plan.create]
    assert fits(table(model), after)
    free = [one for one in after if one not in held and one.profile == names[profile]]
    assert len(free) >= count
