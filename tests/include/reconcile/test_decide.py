"""What is due for a revision, by what is wanted and what was seen."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from include.reconcile.decide import FIRST_S, LONGEST_S, STEADY_S, after, decide, pause_s, rested
from include.reconcile.facts import Actual, Desired, Effort, Patience, Process, ServingState, Step, Wanted

RUN, STOP, GO = Desired(Wanted.RUNNING), Desired(Wanted.STOPPED, who="olaf", why="It is late."), Desired(Wanted.ABSENT, who="olaf")
WELL = Actual(exists=True, process=Process.ALIVE, ready=True, was_ready=True, steady_s=5)
SILENT = Actual(exists=True, process=Process.ALIVE, was_ready=True, silent_s=21)
NEW, USUAL = Effort(), Patience()
NOW = 1_000.0


def due(desired: Desired, actual: Actual, effort: Effort = NEW, patience: Patience = USUAL) -> tuple[Step, ServingState]:
    plan = decide(desired, actual, effort, patience, NOW)
    return plan.step, plan.state


def test_what_runs_and_shall_run_is_left_alone() -> None:
    assert due(RUN, WELL) == (Step.NONE, ServingState.RUNNING)


def test_what_is_wanted_and_not_there_is_deployed_and_again_after_a_pause() -> None:
    assert due(RUN, Actual()) == (Step.DEPLOY, ServingState.STARTING)
    tried = after(decide(RUN, Actual(), NEW, USUAL, NOW), RUN, NEW, NOW)
    plan = decide(RUN, Actual(), tried, USUAL, NOW + 1)
    assert (plan.step, plan.due_s) == (Step.NONE, NOW + FIRST_S) and "After 1 try the next is in 4 s." in plan.reason
    assert decide(RUN, Actual(), tried, USUAL, NOW + FIRST_S).step is Step.DEPLOY


def test_what_could_not_be_begun_yet_is_starting_and_no_failure() -> None:
    plan = decide(RUN, Actual(), Effort(due_s=NOW + 3), USUAL, NOW)
    assert (plan.step, plan.state, plan.due_s) == (Step.NONE, ServingState.STARTING, NOW + 3) and "After" not in plan.reason


def test_a_server_that_lives_and_does_not_answer_is_started_anew_once_its_patience_is_over() -> None:
    assert due(RUN, replace(SILENT, silent_s=19)) == (Step.NONE, ServingState.ERROR)
    assert due(RUN, SILENT) == (Step.RESTART, ServingState.ERROR)


def test_one_that_is_still_starting_has_as_long_as_its_spec_gives_it() -> None:
    starting = replace(SILENT, was_ready=False)
    assert due(RUN, starting) == (Step.NONE, ServingState.STARTING)
    assert due(RUN, replace(starting, silent_s=61)) == (Step.RESTART, ServingState.ERROR)
    assert due(RUN, replace(starting, silent_s=61), patience=Patience(start_s=600)) == (Step.NONE, ServingState.STARTING)


def test_what_its_host_heals_is_never_started_anew_for_silence() -> None:
    assert due(RUN, replace(SILENT, silent_s=1e9), patience=Patience(math.inf, math.inf)) == (Step.NONE, ServingState.ERROR)


def test_a_dead_server_is_started_and_one_that_says_why_it_cannot_load_is_told_with_that() -> None:
    assert due(RUN, replace(WELL, process=Process.DEAD, ready=False)) == (Step.START, ServingState.ERROR)
    plan = decide(RUN, replace(WELL, ready=False, failure="no such tensor"), NEW, USUAL, NOW)
    assert plan.step is Step.RESTART and "no such tensor" in plan.reason


def test_a_preempted_one_waits_for_its_gpu_whatever_was_asked_for() -> None:
    waiting = Actual(exists=True, waits_for_gpu=True)
    assert due(replace(RUN, generation=3), waiting) == (Step.NONE, ServingState.PREEMPTED)


def test_a_person_stops_it_once_and_the_reason_names_who_and_why() -> None:
    plan = decide(STOP, WELL, NEW, USUAL, NOW)
    assert plan.step is Step.STOP and plan.reason == "It was stopped by olaf: It is late."
    assert due(STOP, Actual(exists=True, halted=True)) == (Step.NONE, ServingState.STOPPED)


def test_a_preempted_one_that_is_stopped_no_longer_waits_for_a_gpu() -> None:
    assert due(STOP, Actual(exists=True, waits_for_gpu=True)) == (Step.STOP, ServingState.STOPPING)


def test_what_was_stopped_is_started_at_once() -> None:
    halted = Actual(exists=True, halted=True, waits_for_gpu=True)
    assert due(RUN, halted, Effort(tries=9, due_s=NOW + 99)) == (Step.START, ServingState.STARTING)


def test_a_restart_is_carried_out_once() -> None:
    asked = replace(RUN, generation=2)
    plan = decide(asked, WELL, NEW, USUAL, NOW)
    assert plan.step is Step.RESTART
    assert due(asked, WELL, after(plan, asked, NEW, NOW)) == (Step.NONE, ServingState.RUNNING)


def test_what_was_deleted_is_removed_and_then_nothing() -> None:
    assert due(GO, WELL) == (Step.REMOVE, ServingState.STOPPING)
    assert due(GO, Actual()) == (Step.NONE, ServingState.STOPPED)


def test_nothing_is_done_while_somebody_else_is_at_it() -> None:
    for desired in (RUN, STOP, GO):
        assert due(desired, replace(SILENT, busy=True))[0] is Step.NONE


def test_a_server_that_has_been_steady_begins_with_a_clean_slate() -> None:
    tired = Effort(tries=5, due_s=NOW + 99, done=2)
    assert rested(replace(WELL, steady_s=STEADY_S - 1), tired) == tired
    assert rested(replace(WELL, steady_s=STEADY_S), tired) == Effort(done=2)


@given(tries=st.integers(0, 10_000))
def test_pauses_grow_to_a_bound(tries: int) -> None:
    assert FIRST_S <= pause_s(tries) <= pause_s(tries + 1) <= LONGEST_S


actuals = st.builds(
    Actual,
    exists=st.booleans(),
    process=st.sampled_from(Process),
    ready=st.booleans(),
    halted=st.booleans(),
    waits_for_gpu=st.booleans(),
    busy=st.booleans(),
    failure=st.sampled_from(["", "no"]),
    silent_s=st.floats(0, 1e6),
    was_ready=st.booleans(),
)


@given(wanted=st.sampled_from(Wanted), actual=actuals, tries=st.integers(0, 50), generation=st.integers(0, 3))
def test_no_step_contradicts_what_is_wanted_and_each_has_a_reason(wanted: Wanted, actual: Actual, tries: int, generation: int) -> None:
    plan = decide(Desired(wanted, generation), actual, Effort(tries), USUAL, NOW)
    allowed = {
        Wanted.RUNNING: {Step.NONE, Step.DEPLOY, Step.START, Step.RESTART},
        Wanted.STOPPED: {Step.NONE, Step.STOP},
        Wanted.ABSENT: {Step.NONE, Step.REMOVE},
    }
    assert plan.step in allowed[wanted]
    assert plan.reason or plan.state is ServingState.RUNNING
