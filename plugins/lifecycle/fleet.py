"""Brings the servers of each revision to the number that its model shall have, and restarts them in turn.

Its whole memory is the tables, the gateway's list of servers and the revisions' folders: killed at any moment, it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from include.errors import UpdraftError
from include.gateway.endpoint import Replica as Listed
from include.gateway.table import Table
from include.reconcile.decide import pause_s, rested
from include.reconcile.facts import Actual, Desired, Effort, Patience, Plan, Process, ServingState, Step
from include.replicas.decide import moves, said
from include.replicas.facts import Due, Move, Server
from include.replicas.number import Bounds, number_for
from include.serving.observed import Observed
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from lifecycle.db import replicas, serving
from lifecycle.db.replicas import At, Known
from lifecycle.db.serving import LIFECYCLE
from lifecycle.deeds import Done, Key
from lifecycle.loads import Loads

AT_ONCE = 4
BUSY = Actual(exists=True, process=Process.ALIVE, busy=True)
"""What can't be looked at now, or is being changed."""
AGAIN_S = 3.0
Sessions = Callable[[], AbstractContextManager[Session]]
Look = Callable[[Revision], Observed | None]
Acts = Callable[[Revision, Observed, float], tuple[Actual, Patience]]
"""What a server was seen as, and how long it may be silent, at a time of one clock (seconds)."""


class Deed(Protocol):
    """Carries out one move for one server."""

    def __call__(self, move: Move, at: At, server: Revision | None) -> Done: ...


@dataclass(frozen=True)
class Crew:
    """What a revision's servers come to: ``up`` of ``count`` answer; ``words`` about the others."""

    up: int
    count: int
    words: str


class Fleet:
    """One look at the servers of all revisions is one :meth:`round`. ``bounds``: how many servers each model's spec allows, by name;
    ``table``: what the gateway knows."""

    def __init__(
        self,
        backend: Revisions,
        deeds: Deed,
        sessions: Sessions,
        bounds: Callable[[], Mapping[str, Bounds]],
        table: Callable[[], Table],
        say: Callable[[str], None] = print,
        loads: Loads | None = None,
    ) -> None:
        self._backend, self._deeds, self._sessions, self._bounds, self._table, self._say = backend, deeds, sessions, bounds, table, say
        self._loads = loads
        self._under_way: dict[At, tuple[Due, int, Future[Done]]] = {}
        self._refused: dict[At, tuple[int, float]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="server")

    def several(self, there: Mapping[Key, Revision]) -> dict[Key, Bounds]:
        """Return the revisions that may have several servers, or have them, with what their models' specs allow."""
        bounds = self._bounds()
        found = {}
        for key, revision in there.items():
            known = bounds.get(key[0], Bounds())
            if not revision.shared and not self._backend.multiplies(revision) and (known.most > 1 or self._backend.replicas(revision)):
                found[key] = known
        return found

    def round(
        self,
        several: Mapping[Key, Bounds],
        there: Mapping[Key, Revision],
        wanted: Mapping[Key, tuple[Desired, Effort]],
        firsts: Mapping[Key, tuple[Plan, Actual]],
        look: Look,
        acts: Acts,
        now: datetime,
        clock_s: float,
    ) -> dict[Key, Crew]:
        """Begin what is due for the servers of these revisions; what they come to. ``firsts``: what was seen of first servers, and decided;
        a revision without is being changed now, and left alone."""
        with self._sessions() as session:
            rows, scales = replicas.known(session), {name: row.replicas for name, row in replicas.scales(session).items()}
        if self._loads and several:
            with self._sessions() as session:
                scales = self._loads.round(session, {key[0]: allowed for key, allowed in several.items()}, scales, now, clock_s)
        self._end_orphans(there, rows)
        table = self._table() if several else Table()
        crews = {}
        for key, bounds in several.items():
            if key not in wanted:
                continue
            count = number_for(bounds, scales.get(key[0]), _asked(table, key))
            mine = {at[2]: row for at, row in rows.items() if at[:2] == key}
            crews[key] = self._one(key, there[key], wanted[key], firsts.get(key), count, mine, table, look, acts, now, clock_s)
        return crews

    def wait(self) -> None:
        """Wait until everything that was begun has ended."""
        for _, _, future in list(self._under_way.values()):
            future.exception()

    def _one(
        self,
        key: Key,
        first: Revision,
        wanted: tuple[Desired, Effort],
        seen_first: tuple[Plan, Actual] | None,
        count: int,
        rows: Mapping[int, Known],
        table: Table,
        look: Look,
        acts: Acts,
        now: datetime,
        clock_s: float,
    ) -> Crew:
        desired, effort = wanted
        places = {1: first, **{server.number: server for server in self._backend.replicas(first)}}
        endpoint = table.endpoints.get((first.model, first.version))
        admitted = set(endpoint.servers) if endpoint else set()
        servers = [Server(1, seen_first[1] if seen_first else BUSY, first.replica() in admitted, effort)]
        for number in sorted({*places, *rows} - {1}):
            servers.append(self._server((*key, number), places.get(number), rows.get(number), desired, admitted, look, acts, clock_s))
        if endpoint is None:  # it is being deployed, or taken away
            dues = [Due(one.number, Move.NONE, ServingState.STARTING) for one in servers]
        else:
            dues = moves(desired, count, servers, now.timestamp())
        by_number = {one.number: one for one in servers}
        for due in dues:
            self._keep(key, due, by_number.get(due.number), places.get(due.number), desired, rows.get(due.number), now)
        told = {due.number for due in dues}
        if gone := [(*key, number) for number in rows if number not in told and (*key, number) not in self._under_way]:
            with self._sessions() as session:
                replicas.forget(session, gone)
        if seen_first is not None:
            dues = self._without_strangers(dues, places, endpoint.servers if endpoint else ())
            for due in dues:
                busy = due.number == 1 and seen_first[0].step is not Step.NONE
                if due.move is not Move.NONE and not busy:
                    self._begin((*key, due.number), due, places.get(due.number), desired.generation, now)
        return Crew(sum(one.up for one in servers), count, said(count, servers, dues))

    def _server(
        self,
        at: At,
        place: Revision | None,
        row: Known | None,
        desired: Desired,
        admitted: Collection[Listed],
        look: Look,
        acts: Acts,
        clock_s: float,
    ) -> Server:
        """One server beside the first, as it is now."""
        tried, note = (row.effort, row.note) if row else (Effort(done=desired.generation), "")
        if place is None:
            actual = Actual(waits_for_gpu=bool(row and row.waits), busy=at in self._under_way)
            return Server(at[2], actual, admitted=False, effort=tried, note=note)
        found = look(place) if at not in self._under_way else None
        actual, patience = acts(place, found, clock_s) if found is not None else (BUSY, Patience())
        return Server(at[2], actual, place.replica() in admitted, rested(actual, tried), patience, note)

    @staticmethod
    def _without_strangers(dues: list[Due], places: Mapping[int, Revision], listed: Collection[Listed]) -> list[Due]:
        """The same, but that places at the gateway go first where no server of the revision is any more: others may listen there soon."""
        strange = {one.number for one in listed if one.number not in places or places[one.number].replica() != one}
        if len(strange) == len(listed):
            return dues
        gone = [Due(number, Move.REMOVE, ServingState.STOPPED, "No server is there any more.") for number in sorted(strange)]
        return [*(due for due in dues if due.number not in strange or due.number in places), *gone]

    def _keep(
        self, key: Key, due: Due, server: Server | None, place: Revision | None, desired: Desired, row: Known | None, now: datetime
    ) -> None:
        """Write down what is new in what was seen."""
        at = (*key, due.number)
        known = {
            "state": due.state.name,
            "message": due.reason[:4000],
            "endpoint": place.url if place else "",
            "up": bool(server and server.up),
        }
        if due.number > 1:
            effort = server.effort if server else Effort(done=desired.generation)
            known |= {"tries": effort.tries, "done": effort.done}
        if row is not None and all(getattr(row, name) == value for name, value in known.items()):
            return
        with self._sessions() as session:
            replicas.keep(session, at, known, now)

    def _begin(self, at: At, due: Due, server: Revision | None, generation: int, now: datetime) -> None:
        _, due_s = self._refused.get(at, (0, 0.0))
        if at in self._under_way or (due.move is Move.ADMIT and now.timestamp() < due_s):
            return
        self._say(f"{at[0]} {at[1]}, server {at[2]}: {due.move.value}. {due.reason}")
        if due.move in (Move.ADD, Move.START, Move.RESTART):
            with self._sessions() as session:
                row = replicas.replicas(session, at[0])[at]
                replicas.tried(session, at, tries=row.tries + 1, due_s=now.timestamp() + pause_s(row.tries))
                if not row.waits:
                    serving.act(session, LIFECYCLE, due.move.value, at[:2], f"Server {at[2]}: {due.reason}".strip(), server=at[2])
        self._under_way[at] = (due, generation, self._pool.submit(self._deeds, due.move, at, server))

    def gather(self, now: datetime) -> None:
        """Take in what became of deeds that have ended."""
        for at, (due, generation, future) in list(self._under_way.items()):
            if not future.done():
                continue
            del self._under_way[at]
            if (error := future.exception()) is not None:
                self._failed(at, due, error, now)
                continue
            done = future.result()
            with self._sessions() as session:
                self._done(session, at, due, generation, done, now)

    def _done(self, session: Session, at: At, due: Due, generation: int, done: Done, now: datetime) -> None:
        if done.later:
            replicas.tried(session, at, waits=True, note=done.later, tries=0, due_s=now.timestamp() + AGAIN_S)
        elif due.move is Move.REMOVE:
            replicas.forget(session, [at])
        elif due.move is Move.ROLL:
            if at[2] == 1:
                serving.rolled(session, at[:2], generation)
            replicas.tried(session, at, done=generation, note="")
        elif due.move is Move.ADMIT:
            self._refused.pop(at, None)
            replicas.tried(session, at, note="", due_s=0.0)
        else:
            started = {"done": generation} if due.move is Move.ADD else {}
            replicas.tried(session, at, waits=False, note="", **started)

    def _failed(self, at: At, due: Due, error: BaseException, now: datetime) -> None:
        words = str(error) if isinstance(error, UpdraftError) else f"{type(error).__name__}: {error}"
        self._say(f"{at[0]} {at[1]}, server {at[2]}: {due.move.value} failed. {words}")
        if due.move is Move.ADMIT:
            tries, _ = self._refused.get(at, (0, 0.0))
            self._refused[at] = (tries + 1, now.timestamp() + pause_s(tries))
        with self._sessions() as session:
            replicas.tried(session, at, note=words[:4000])

    def _end_orphans(self, there: Mapping[Key, Revision], rows: Mapping[At, Known]) -> None:
        """End servers whose revision is gone, which nobody knows any more, and forget what was known of them."""
        gone = [at for at in rows if at[:2] not in there and at not in self._under_way]
        if gone:
            with self._sessions() as session:
                replicas.forget(session, gone)
        for server in self._backend.servers():
            at = (server.model, int(server.version), server.number)
            if server.number > 1 and at[:2] not in there and at not in self._under_way and self._backend.find(*_name(server)) is None:
                due = Due(server.number, Move.REMOVE, ServingState.STOPPING, "Its revision is gone.")
                self._under_way[at] = (due, 0, self._pool.submit(self._deeds, Move.REMOVE, at, server))


def rolling(desired: Desired, effort: Effort) -> Desired:
    """Return what is wanted of a first server whose restart goes by turns with the others'."""
    return replace(desired, generation=min(desired.generation, effort.done))


def _asked(table: Table, key: Key) -> bool:
    """Whether callers reach the revision, or copies of their requests do."""
    split = table.splits.get(key[0])
    return split is not None and (bool(split.weights.get(str(key[1]))) or split.mirror == str(key[1]))


def _name(server: Revision) -> tuple[str, str]:
    return server.model, server.version
