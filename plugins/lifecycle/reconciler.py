"""Drives what runs to what the tables say shall run. What is due is decided by :mod:`include.reconcile`; here it is looked at and done.

Its whole memory is the tables, the revisions' folders and what it has seen since it began: killed at any moment, it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
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
from lifecycle.db import owner, serving
from lifecycle.db.models import Desired
from lifecycle.db.models import Revision as SeenRow
from lifecycle.db.serving import LIFECYCLE
from lifecycle.deeds import DeedsOf, Done, Key
from lifecycle.standing_in import StandIns

DEEDS_AT_ONCE, LOOKS_AT_ONCE = 4, 8
CALM_S = 5.0
"""How often a server that was well is asked whether it still answers, when nothing about it has changed. That its process or its port is
gone is seen at every look."""
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


@dataclass(frozen=True)
class Calm:
    """What was seen of a revision that was well at ``at_s``, and the glimpse of it just before."""

    seen: Observed
    glimpse: Hashable
    at_s: float


def well(seen: Observed) -> bool:
    """Whether nothing is to be done about a server, and nobody does anything. Pure."""
    return seen.ready and not (seen.busy or seen.halted or seen.waits or seen.failure)


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
    ) -> None:
        self._me, self._backend, self._deeds, self._sessions, self._say = me, backend, deeds, sessions, say
        self._stand_ins = stand_ins
        self._watched, self._renewed_s = Watched(), -math.inf
        self._sights: dict[Key, Sight] = {}
        self._calm: dict[Key, Calm] = {}
        self._failed: dict[Key, str] = {}
        self._told: dict[str, str] = {}
        self._under_way: dict[Key, tuple[Plan, Wish, Future[Done]]] = {}
        self._pool = ThreadPoolExecutor(DEEDS_AT_ONCE, thread_name_prefix="deed")
        self._eyes = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look")

    def owns(self, clock_s: float) -> bool:
        """Whether this process may act now: nobody else takes over before its row has stood still for :data:`STILL_S`."""
        return self._watched.mine is not None and clock_s - self._renewed_s < STILL_S

    def round(self, now: datetime, clock_s: float) -> None:
        """Look at everything, write down what was seen, and begin what is due. ``clock_s`` counts on (seconds)."""
        if not self._hold(now, clock_s):
            return
        there = {(revision.model, int(revision.version)): revision for revision in self._backend.list()}
        wishes = self._wishes(there, now)
        self._gather(now)
        quiet = {key: revision for key, revision in there.items() if key not in self._under_way}
        seen = self._looks(quiet, clock_s)
        self._sights = {key: sight for key, sight in self._sights.items() if key in there}
        plans: Plans = {}
        for key, wish in wishes.items():
            if key not in self._under_way and (key not in there or seen.get(key) is not None):
                plans[key] = self._plan(key, wish, seen.get(key), now, clock_s)
        self._keep(plans, wishes, there, now)
        self._begin(plans, wishes, there)
        self._stand_in(seen, wishes, clock_s)

    def wait(self) -> None:
        """Wait until everything that was begun has ended."""
        for _, _, future in list(self._under_way.values()):
            future.exception()

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

    def _looks(self, quiet: Mapping[Key, Revision], clock_s: float) -> dict[Key, Observed | None]:
        """What is seen of each: one that was well, and about which nothing has changed, is asked anew only every :data:`CALM_S`."""
        glimpses = self._backend.glimpse(quiet.values())
        calm = {
            key: known.seen
            for key, revision in quiet.items()
            if (known := self._calm.get(key)) and known.glimpse == glimpses.get(revision.name) and clock_s - known.at_s < CALM_S
        }
        asked = {key: revision for key, revision in quiet.items() if key not in calm}
        found = dict(zip(asked, self._eyes.map(self._look, asked.values()), strict=True))
        self._calm = {key: known for key, known in self._calm.items() if key in calm}
        for key, seen in found.items():
            if seen is not None and well(seen) and (glimpse := glimpses.get(quiet[key].name)) is not None:
                self._calm[key] = Calm(seen, glimpse, clock_s)
        return {key: calm.get(key) or found.get(key) for key in quiet}

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

    def _plan(self, key: Key, wish: Wish, seen: Observed | None, now: datetime, clock_s: float) -> tuple[Plan, Effort]:
        actual, patience = Actual(), Patience()
        if seen is not None:
            process = PROCESSES.get(seen.program, Process.DEAD)
            alive = process is Process.ALIVE
            sight = looked(self._sights.get(key, Sight()), seen.incarnation, alive=alive, ready=seen.ready, now_s=clock_s)
            self._sights[key] = sight
            actual, patience = _actual(seen, process, sight, clock_s), _patience(seen)
        effort = rested(actual, wish.effort)
        return decide(wish.desired, actual, effort, patience, now.timestamp()), effort

    def _keep(self, plans: Plans, wishes: Mapping[Key, Wish], there: Mapping[Key, Revision], now: datetime) -> None:
        """Write down what is new in what was seen and decided."""
        for key, (plan, effort) in plans.items():
            wish, revision = wishes[key], there.get(key)
            if plan.state is ServingState.RUNNING:
                self._failed.pop(key, None)
            made = after(plan, wish.desired, effort, now.timestamp())
            state = "STANDBY" if plan.state is ServingState.RUNNING and self._stands_by(revision) else plan.state.name
            message = wish.message if (plan.state, wish.state) == (ServingState.PREEMPTED, state) else self._words(key, plan)
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
