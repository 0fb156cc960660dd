"""What is due for each server of a revision: desired number and actual servers in, moves out. Pure.

The first server is the reconciler's (:mod:`include.reconcile.decide`) as far as it lives or dies; here it is only let in, and restarted in
turn. Nothing is remembered of a rolling restart but which server was started for which generation: killed anywhere, it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from include.reconcile.decide import decide
from include.reconcile.facts import Actual, Desired, Effort, ServingState, Step, Wanted
from include.replicas.facts import Due, Move, Server

MOVES = {Step.NONE: Move.NONE, Step.DEPLOY: Move.ADD, Step.START: Move.START, Step.RESTART: Move.RESTART}


def moves(desired: Desired, count: int, servers: Sequence[Server], now_s: float) -> list[Due]:
    """Return what is due for the servers of a revision of which ``count`` shall answer, by number. ``now_s``: seconds since the epoch."""
    if desired.wanted is not Wanted.RUNNING:
        return [Due(one.number, Move.REMOVE, ServingState.STOPPING, "The revision shall not run.") for one in servers if one.number > 1]
    known = {one.number: one for one in servers}
    late = [one for one in servers if one.effort.done < desired.generation and one.number <= count]
    wanted = count + 1 if late else count
    rolled = _next(late, servers, wanted, count)
    going = _surplus(servers, wanted, count)
    found = []
    for number in sorted({*known, *range(1, wanted + 1)}):
        server = known.get(number) or Server(number, Actual(), admitted=False, effort=Effort(done=desired.generation))
        if number in going:
            found.append(Due(number, Move.REMOVE, ServingState.STOPPING, f"{count} {'is' if count == 1 else 'are'} wanted."))
        elif rolled is not None and number == rolled.number:
            found.append(Due(number, Move.ROLL, ServingState.STARTING, "A restart was asked for: the others take its requests."))
        else:
            found.append(_kept(desired, server, now_s))
    return found


def said(count: int, servers: Sequence[Server], dues: Sequence[Due]) -> str:
    """Return how many of a revision's servers answer and what the others wait for, in a sentence or two; "" when all do."""
    up = sum(one.up for one in servers)
    words = [f"Server {one.number}: {one.reason}" for one in dues if one.reason and one.state is not ServingState.RUNNING]
    return " ".join([f"{up} of {count} servers answer.", *words]) if up < count or words else ""


def _next(late: Sequence[Server], servers: Sequence[Server], wanted: int, count: int) -> Server | None:
    """Return the server that starts anew now: one at a time, and only while as many others answer as shall; with one fewer where there is
    no room for one more. One that answers nobody need not wait."""
    for one in late:
        if one.actual.exists and not one.actual.ready and not one.actual.busy and not one.actual.waits_for_gpu:
            return one
    others_needed = count
    extra = next((one for one in servers if one.number == wanted), None)
    if extra is not None and not extra.up and (extra.actual.waits_for_gpu or extra.effort.tries > 1):
        others_needed = count - 1
    for one in late:
        up = sum(other.up for other in servers if other.number != one.number)
        if up >= max(1, others_needed):
            return one
    return None


def _surplus(servers: Sequence[Server], wanted: int, count: int) -> set[int]:
    """Return the servers that are too many: the last ones, for as long as enough others answer."""
    up, going = sum(one.up for one in servers), set()
    for one in sorted(servers, key=lambda server: -server.number):
        if one.number <= wanted or (one.up and up - 1 < count):
            continue
        going.add(one.number)
        up -= one.up
    return going


def _kept(desired: Desired, server: Server, now_s: float) -> Due:
    if server.actual.ready and not server.actual.busy and not server.admitted:
        return Due(server.number, Move.ADMIT, ServingState.STARTING, "It is ready, and is asked its golden inputs.")
    if not server.actual.exists and server.actual.waits_for_gpu:
        move = Move.ADD if now_s >= server.effort.due_s else Move.NONE
        return Due(server.number, move, ServingState.PREEMPTED, server.note or "It waits for a GPU.")
    # Restarts go by turns, so none is due by itself.
    plan = decide(replace(desired, generation=server.effort.done), server.actual, server.effort, server.patience, now_s)
    if server.number == 1:
        return Due(1, Move.NONE, plan.state, plan.reason, plan.due_s)
    words = f"{plan.reason} {server.note}".strip() if plan.state is not ServingState.RUNNING else ""
    return Due(server.number, MOVES[plan.step], plan.state, words, plan.due_s)
