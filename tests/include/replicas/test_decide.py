"""What is due for each of a revision's servers, and a rolling restart played to its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.reconcile.facts import Actual, Desired, Effort, Process, Wanted
from include.replicas.decide import moves, said
from include.replicas.facts import Move, Server
from include.replicas.number import Bounds, number_for

RUN = Desired(Wanted.RUNNING)
AGAIN = Desired(Wanted.RUNNING, generation=1, who="olaf", why="It is late.")
WELL = Actual(exists=True, process=Process.ALIVE, ready=True, was_ready=True, steady_s=90)
STARTING = Actual(exists=True, process=Process.ALIVE)
NOW = 1_000.0


def up(number: int, done: int = 0) -> Server:
    return Server(number, WELL, admitted=True, effort=Effort(done=done))


def due(desired: Desired, count: int, *servers: Server) -> dict[int, Move]:
    return {one.number: one.move for one in moves(desired, count, servers, NOW) if one.move is not Move.NONE}


def test_what_is_missing_is_added_and_what_is_ready_is_let_in() -> None:
    assert due(RUN, 3, up(1)) == {2: Move.ADD, 3: Move.ADD}
    assert due(RUN, 2, up(1), Server(2, STARTING, admitted=False)) == {}
    assert due(RUN, 2, up(1), Server(2, WELL, admitted=False)) == {2: Move.ADMIT}
    assert due(RUN, 2, up(1), up(2)) == {}


def test_the_last_go_first_and_never_the_only_one_that_answers() -> None:
    assert due(RUN, 1, up(1), up(2), up(3)) == {2: Move.REMOVE, 3: Move.REMOVE}
    dead = Server(1, Actual(exists=True, process=Process.DEAD), admitted=True)
    assert due(RUN, 1, dead, up(2), up(3)) == {3: Move.REMOVE}


def test_one_that_dies_is_started_again_with_pauses() -> None:
    dead = Server(2, Actual(exists=True, process=Process.DEAD), admitted=True)
    assert due(RUN, 2, up(1), dead) == {2: Move.START}
    assert due(RUN, 2, up(1), replace(dead, effort=Effort(tries=1, due_s=NOW + 5))) == {}
    assert due(RUN, 2, up(1), Server(2, replace(STARTING, silent_s=99), admitted=False)) == {2: Move.RESTART}


def test_a_restart_begins_with_one_more_and_ends_with_as_many_as_before() -> None:
    fleet = {1: up(1), 2: up(2)}
    done, fewest = [], 2
    for _ in range(40):
        found = due(AGAIN, 2, *fleet.values())
        fewest = min(fewest, sum(one.up for one in fleet.values()))
        for number, move in found.items():
            done.append((number, move))
            if move is Move.REMOVE:
                del fleet[number]
            elif move is Move.ADMIT:
                fleet[number] = up(number, done=1)
            else:
                fleet[number] = Server(number, STARTING, admitted=False, effort=Effort(done=1))
        for number, one in list(fleet.items()):
            if one.actual == STARTING and number not in found:
                fleet[number] = replace(one, actual=WELL)
    assert done == [
        (3, Move.ADD),
        (3, Move.ADMIT),
        (1, Move.ROLL),
        (1, Move.ADMIT),
        (2, Move.ROLL),
        (2, Move.ADMIT),
        (3, Move.REMOVE),
    ]
    assert fewest == 2 and set(fleet) == {1, 2} and due(AGAIN, 2, *fleet.values()) == {}


def test_without_room_for_one_more_a_restart_goes_on_with_one_fewer_but_never_with_none() -> None:
    waits = Server(3, Actual(waits_for_gpu=True), admitted=False, effort=Effort(done=1, due_s=NOW + 3))
    assert due(AGAIN, 2, up(1), up(2), waits) == {1: Move.ROLL}
    alone = Server(2, Actual(waits_for_gpu=True), admitted=False, effort=Effort(done=1, due_s=NOW + 3))
    assert due(AGAIN, 1, up(1), alone) == {}


def test_a_revision_that_shall_not_run_loses_all_but_its_first() -> None:
    assert due(Desired(Wanted.STOPPED), 2, up(1), up(2)) == {2: Move.REMOVE}


def test_what_waits_says_for_what() -> None:
    waits = Server(2, Actual(waits_for_gpu=True), admitted=False, effort=Effort(due_s=NOW + 3), note="It waits for a GPU: all are held.")
    servers = [up(1), waits]
    assert said(2, servers, moves(RUN, 2, servers, NOW)) == "1 of 2 servers answer. Server 2: It waits for a GPU: all are held."
    assert said(2, [up(1), up(2)], moves(RUN, 2, [up(1), up(2)], NOW)) == ""


states = st.builds(
    Server,
    st.just(0),
    st.sampled_from([WELL, STARTING, Actual(exists=True, process=Process.DEAD), Actual(), Actual(waits_for_gpu=True)]),
    st.booleans(),
    st.builds(Effort, st.integers(0, 3), st.sampled_from([0.0, NOW + 5]), st.integers(0, 1)),
)


@given(st.lists(states, min_size=1, max_size=5), st.integers(1, 4), st.sampled_from([RUN, AGAIN]))
def test_no_move_takes_the_last_server_that_answers(found: list[Server], count: int, desired: Desired) -> None:
    servers = [replace(one, number=number) for number, one in enumerate(found, 1)]
    taken = {number for number, move in due(desired, count, *servers).items() if move in (Move.ROLL, Move.REMOVE)}
    answer = {one.number for one in servers if one.up}
    assert not answer or answer - taken


@pytest.mark.parametrize(
    ("said_of_it", "asked", "count"), [(None, True, 2), (3, True, 3), (9, True, 4), (1, True, 2), (3, False, 1), (None, False, 1)]
)
def test_a_revision_has_as_many_as_its_model_shall_while_it_is_asked(said_of_it: int | None, asked: bool, count: int) -> None:
    assert number_for(Bounds(2, 4), said_of_it, asked) == count
