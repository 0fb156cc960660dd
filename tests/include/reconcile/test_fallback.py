"""When another model stands in, and when no longer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from include.reconcile.fallback import Standing, decide_fallback

DOWN = Standing(wished="spare", active=None, wanted=True, down_s=5, up_s=0, other_live=True)


def by(standing: Standing) -> str | None:
    """Who answers after the look."""
    switch = decide_fallback("real", standing)
    return standing.active if switch is None else switch.by


def test_a_model_that_is_down_is_stood_in_for_by_one_that_answers() -> None:
    assert by(DOWN) == "spare"
    assert by(replace(DOWN, down_s=1)) is None and by(replace(DOWN, other_live=False)) is None


def test_nobody_stands_in_for_what_nobody_wants_or_speaks_otherwise() -> None:
    assert by(replace(DOWN, wanted=False)) is None and by(replace(DOWN, fits=False)) is None


def test_a_model_that_has_answered_again_for_a_while_answers_itself() -> None:
    active = replace(DOWN, active="spare", down_s=0, up_s=1)
    assert by(active) == "spare" and by(replace(active, up_s=3)) is None


def test_a_stand_in_that_dies_too_is_taken_away() -> None:
    assert by(replace(DOWN, active="spare", other_live=False)) is None


def test_a_spec_that_names_another_or_none_counts_at_once() -> None:
    for wished in (None, "another"):
        assert by(replace(DOWN, active="spare", wished=wished)) is None


standings = st.builds(
    Standing,
    wished=st.sampled_from([None, "spare"]),
    active=st.sampled_from([None, "spare"]),
    wanted=st.booleans(),
    down_s=st.floats(0, 10),
    up_s=st.floats(0, 10),
    other_live=st.booleans(),
    fits=st.booleans(),
)


@given(standing=standings)
def test_each_switch_changes_something_and_has_a_reason(standing: Standing) -> None:
    switch = decide_fallback("real", standing)
    assert switch is None or (switch.by != standing.active and switch.reason)
