"""Drives what runs to what the tables say shall run. What is due is decided by :mod:`include.reconcile`; here it is looked at and done.

Its whole memory is the tables, the revisions' folders and what it has seen since it began: killed at any moment, it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from include.errors import UpdraftError
from include.reconcile import facts
from include.reconcile.decide import after, decide, rested
from include.reconcile.facts import HANG_S, Actual, Effort, Patience, Plan, Process, ServingState, Step, Wanted
from include.reconcile.owner import STILL_S, Watched
from include.reconcile.sight import Sight, looked
from include.runtime.supervisor import State
from include.serving.observed import Observed
from include.serving.revision import Revision
from include.serving.revisions import Revisions
from lifecycle.calm import Eyes
from lifecycle.db import owner, serving
from lifecycle.db.models import Desired
from lifecycle.db.models import Revision as SeenRow
from lifecycle.db.serving import LIFECYCLE
from lifecycle.deeds import DeedsOf, Done, Key
from lifecycle.fleet import Crew, Fleet, rolling
from lifecycle.standing_in import StandIns

DEEDS_AT_ONCE = 4
BEAT_S, AGAIN_S = 3.0, 3.0
"""How often ownership is renewed, and after how long what could not be done yet is tried again."""
Sessions = Callable[[], AbstractContextManager[Session]]
PROCESSES = {
    State.ABSENT: Process.ABSENT,
    State.STARTING: Process.ALIVE,
    State.RUNNING: Process.ALIVE,
    State.BACKOFF: Process.STARTING,
    State.STOPPING: Process.STOPPING,
}


@dataclass(frozen=True)
class Wish:
    """A row of what is wanted, apart from its database; ``state`` and ``message``: as it was seen last."""

    desired: facts.Desired
    effort: Effort
    step: str
    reason: str
    state: str = ""
    message: str = ""


Plans = dict[Key, tuple[Plan, Effort]]


class Reconciler:
    """One look at everything is one :meth:`round`. ``me`` is this process among all that may reconcile: ``place/nonce``."""

    def __init__(
        self,
        me: str,
        backend: Revisions,
        deeds: DeedsOf,
        sessions: Sessions,
        say: Callable[[str], None] = print,
        stand_ins: StandIns | None = None,
        fleet: Fleet | None = None,
    ) -> None:
        self._me, self._backend, self._deeds, self._sessions, self._say = me, backend, deeds, sessions, say
        self._stand_ins, self._fleet = stand_ins, fleet
        self._crews: dict[Key, Crew] = {}
        self._watched, self._renewed_s = Watched(), -math.inf
        self._sights: dict[str, Sight] = {}
        self._failed: dict[Key, str] = {}
        self._told: dict[str, str] = {}
        self._under_way: dict[Key, tuple[Plan, Wish, Future[Done]]] = {}
        self._pool = ThreadPoolExecutor(DEEDS_AT_ONCE, thread_name_prefix="deed")
        self._eyes: Eyes[Key] = Eyes(backend, self._look)

    def owns(self, clock_s: float) -> bool:
        """Whether this process may act now: nobody else takes over before its row has stood still for :data:`STILL_S`."""
        return self._watched.mine is not None and clock_s - self._renewed_s < STILL_S

    def round(self, now: datetime, clock_s: float) -> None:
        """Look at everything, write down what was seen, and begin what is due. ``clock_s`` counts on (seconds)."""
        if not self._hold(now, clock_s):
            return
        if self._fleet:
            self._fleet.gather(now)  # before what is wanted is read: it says which restarts were carried out
        there = {(revision.model, int(revision.version)): revision for revision in self._backend.list()}
        wishes = self._wishes(there, now)
        self._gather(now)
        quiet = {key: revision for key, revision in there.items() if key not in self._under_way}
        seen = self._eyes.look(quiet, clock_s)
        names = {server.name for server in (self._backend.servers() if self._fleet else there.values())}
        self._sights = {name: sight for name, sight in self._sights.items() if name in names}
        several = self._fleet.several(there) if self._fleet else {}
        plans: Plans = {}
        actuals: dict[Key, Actual] = {}
        for key, wish in wishes.items():
            if key not in self._under_way and (key not in there or seen.get(key) is not None):
                own = replace(wish, desired=rolling(wish.desired, wish.effort)) if key in several else wish
                plans[key], actuals[key] = self._plan(own, there.get(key), seen.get(key), now, clock_s)
        if self._fleet:
            wanted = {key: (wish.desired, wish.effort) for key, wish in wishes.items()}
            firsts = {key: (plan, actuals[key]) for key, (plan, _) in plans.items()}
            self._crews = self._fleet.round(several, there, wanted, firsts, self._look, self._acts, now, clock_s)
        self._keep(plans, wishes, there, now)
        self._begin(plans, wishes, there)
        self._stand_in(seen, wishes, clock_s)

    def wait(self) -> None:
        """Wait until everything that was begun has ended."""
        for _, _, future in list(self._under_way.values()):
            future.exception()
        if self._fleet:
            self._fleet.wait()

    def _hold(self, now: datetime, clock_s: float) -> bool:
        if self._watched.mine is None or clock_s - self._renewed_s >= BEAT_S:
            before = self._watched.mine is not None
            with self._sessions() as session:
                mine, self._watched = owner.hold(session, self._me, self._watched, clock_s, now)
            if mine:
                self._renewed_s = clock_s
            if mine is not before:
                self._say("This process reconciles from now on." if mine else "Another process reconciles.")
        return self.owns(clock_s)

    def _wishes(self, there: Mapping[Key, Revision], now: datetime) -> dict[Key, Wish]:
        """What is wanted; of a revision of before this was written down, that it shall run."""
        with self._sessions() as session:
            rows = serving.wanted(session)
            missing = there.keys() - rows.keys()
            seen = serving.revisions(session)
            found = {key: _wish(row, seen.get(key)) for key, row in rows.items()}
        for key in missing:
            if not self._backend.busy(there[key]):  # else it is being made, or taken away
                with self._sessions() as session:
                    serving.want(session, key, Wanted.RUNNING, LIFECYCLE, "It ran already.", now)
        return found

    def _look(self, revision: Revision) -> Observed | None:
        try:
            return self._backend.observe(revision)
        except (UpdraftError, OSError) as error:
            self._tell(revision.name, f"{revision.name} can't be looked at: {error}")
            return None

    def _tell(self, of: str, text: str) -> None:
        """Once: what is away is no news at every look."""
        if self._told.get(of) != text:
            self._say(text)
        self._told[of] = text

    def _acts(self, server: Revision, seen: Observed, clock_s: float) -> tuple[Actual, Patience]:
        """What a server was seen as, and how long it may be silent."""
        process = PROCESSES.get(seen.program, Process.DEAD)
        before = self._sights.get(server.name, Sight())
        sight = looked(before, seen.incarnation, alive=process is Process.ALIVE, ready=seen.ready, now_s=clock_s)
        self._sights[server.name] = sight
        return _actual(seen, process, sight, clock_s), _patience(seen)

    def _plan(
        self, wish: Wish, revision: Revision | None, seen: Observed | None, now: datetime, clock_s: float
    ) -> tuple[tuple[Plan, Effort], Actual]:
        actual, patience = Actual(), Patience()
        if revision is not None and seen is not None:
            actual, patience = self._acts(revision, seen, clock_s)
        effort = rested(actual, wish.effort)
        return (decide(wish.desired, actual, effort, patience, now.timestamp()), effort), actual

    def _keep(self, plans: Plans, wishes: Mapping[Key, Wish], there: Mapping[Key, Revision], now: datetime) -> None:
        """Write down what is new in what was seen and decided."""
        for key, (plan, effort) in plans.items():
            wish, revision = wishes[key], there.get(key)
            if plan.state is ServingState.RUNNING:
                self._failed.pop(key, None)
            made = after(plan, wish.desired, effort, now.timestamp())
            seen = self._with_others(key, plan, wish.desired)
            state = "STANDBY" if seen.state is ServingState.RUNNING and self._stands_by(revision) else seen.state.name
            message = wish.message if (seen.state, wish.state) == (ServingState.PREEMPTED, state) else self._words(key, seen)
            planned = (plan.step.value, plan.reason, made) != (wish.step, wish.reason, wish.effort)
            gone = wish.desired.wanted is Wanted.ABSENT and revision is None
            if not (planned or gone or (state, message) != (wish.state, wish.message)):
                continue
            with self._sessions() as session:  # what writes first: SQLite makes no writer of what has read
                if planned:
                    serving.note(session, key, wish.desired.generation, plan, made)
                waited = bool(effort.due_s) and not effort.tries  # for a GPU, or for production: it was written down at the first try
                if plan.step is not Step.NONE and _by_itself(plan, wish.desired) and not waited:
                    serving.act(session, LIFECYCLE, plan.step.value, key, self._words(key, plan))
                serving.note_state(session, key, state, message, now, _facts(revision))
                if gone:
                    serving.forget(session, key)

    def _with_others(self, key: Key, plan: Plan, desired: facts.Desired) -> Plan:
        """What is told of a revision of whose servers any answers: that it runs, and what is with the others."""
        crew = self._crews.get(key)
        if crew is None or not crew.up or desired.wanted is not Wanted.RUNNING:
            return plan
        return replace(plan, state=ServingState.RUNNING, reason=crew.words)

    def _begin(self, plans: Plans, wishes: Mapping[Key, Wish], there: Mapping[Key, Revision]) -> None:
        """What shares a server with another is not started together with it: that start is for both."""
        starting = {there[key].program for key in self._under_way if key in there}
        for key, (plan, _) in plans.items():
            program = there[key].program if key in there else ""
            if plan.step is Step.NONE or (program and program in starting):
                continue
            starting.add(program)
            self._say(f"{key[0]} {key[1]}: {plan.step.value}. {plan.reason}")
            wish = wishes[key]
            self._under_way[key] = (plan, wish, self._pool.submit(self._deeds, plan.step, key, self._still(key, wish.desired)))

    def _stand_in(self, seen: Mapping[Key, Observed | None], wishes: Mapping[Key, Wish], clock_s: float) -> None:
        """Let others answer for models that can't, and no longer for those that can again."""
        if self._stand_ins is None:
            return
        ready = {key for key, found in seen.items() if found is not None and found.ready}
        ready |= {key for key, crew in self._crews.items() if crew.up}
        unknown = {key[0] for key, found in seen.items() if found is None}
        wanted = {key[0] for key, wish in wishes.items() if wish.desired.wanted is not Wanted.ABSENT}
        for model, switch in self._stand_ins.round(ready, unknown, wanted, clock_s):
            with self._sessions() as session:
                serving.act(session, LIFECYCLE, "fallback", (model, None), switch.reason, fallback=switch.by or "")

    def _still(self, key: Key, desired: facts.Desired) -> Callable[[], bool]:
        def still() -> bool:
            with self._sessions() as session:
                row = serving.wanted(session, key[0]).get(key)
                return row is not None and serving.desired(row) == desired

        return still

    def _gather(self, now: datetime) -> None:
        """Take in what became of deeds that have ended."""
        for key, (plan, wish, future) in list(self._under_way.items()):
            if not future.done():
                continue
            del self._under_way[key]
            error = future.exception()
            if error is not None:
                words = str(error) if isinstance(error, UpdraftError) else f"{type(error).__name__}: {error}"
                self._failed[key] = words
                self._say(f"{key[0]} {key[1]}: {plan.step.value} failed. {words}")
                continue
            done = future.result()
            with self._sessions() as session:
                if done.later:
                    self._failed[key] = done.later
                    due = replace(wish.effort, due_s=now.timestamp() + AGAIN_S)
                    serving.note(session, key, wish.desired.generation, plan, due)
                else:
                    self._failed.pop(key, None)
                if done.weights is not None:
                    after_it = {"weights": done.weights, "mirror": None}
                    serving.act(session, LIFECYCLE, "split", (key[0], None), f"Version {key[1]} was stopped.", after=after_it)

    def _stands_by(self, revision: Revision | None) -> bool:
        return revision is not None and self._backend.standby(revision) is not None

    def _words(self, key: Key, plan: Plan) -> str:
        return f"{plan.reason} {self._failed.get(key, '')}".strip()


def _wish(row: Desired, seen: SeenRow | None) -> Wish:
    state, message = (seen.state, seen.message) if seen else ("", "")
    return Wish(serving.desired(row), serving.effort(row), row.step, row.reason, state, message)


def _actual(seen: Observed, process: Process, sight: Sight, clock_s: float) -> Actual:
    return Actual(
        exists=True,
        process=process,
        ready=seen.ready,
        halted=seen.halted,
        waits_for_gpu=seen.waits,
        busy=seen.busy,
        failure=seen.failure,
        silent_s=clock_s - sight.silent_s if sight.silent_s is not None else 0.0,
        was_ready=sight.was_ready,
        steady_s=clock_s - sight.ready_s if sight.ready_s is not None else 0.0,
    )


def _patience(seen: Observed) -> Patience:
    if seen.heals:
        return Patience(math.inf, math.inf)
    return Patience(seen.start_s, seen.start_s if seen.starts_inside else HANG_S)


def _facts(revision: Revision | None) -> dict[str, str]:
    return {"target": revision.target, "backend": revision.backend, "endpoint": revision.url} if revision else {}


def _by_itself(plan: Plan, desired: facts.Desired) -> bool:
    """Whether the step is the reconciler's own, and not what somebody has just asked for and is written down for already."""
    return plan.state is ServingState.ERROR or (plan.step is Step.DEPLOY and desired.who == LIFECYCLE)
