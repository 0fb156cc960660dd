"""The pool of an API server: its rules in memory, its truth in the database.

One thread owns the pool. It takes everything that waits as one batch: one transaction, one lock, one pass of the scheduler, one commit, and
only then the answers (group commit). A batch begins by locking the one row of ``updraft_gpu_state``, so that two API servers take turns;
whoever finds that the other one has changed something reads the pool anew. What a server has answered is therefore in the database, and
what it holds in memory may be lost at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from gpu_pool.db.past import Past
from gpu_pool.db.store import Store, Turn
from gpu_pool.history import History
from gpu_pool.view import View
from include.errors import ComponentError, UpdraftError
from include.pool.pool import Pool

IDLE_S = 1.0
"""The thread wakes at least so often, to see whether anything is due."""
LOOK_S = 5.0
"""An idle server looks so often whether another one has changed the pool."""
LEAST_S = 0.02
"""Never wake more often than this for what is due by itself."""
TRIES = 2
RECALLED = 1_000
"""From so many of the latest ended leases a new server learns how long work stays."""
LOG = logging.getLogger(__name__)

Act = Callable[[Pool, float], Any]
Show = Callable[[View, Any], Any]


@dataclass
class Job:
    """``act`` changes the pool (None: nothing to change); ``show`` makes the answer of what it returned, after the scheduler's pass."""

    act: Act | None
    show: Show
    answer: Future[Any] = field(default_factory=Future)
    value: Any = None
    error: BaseException | None = None


class Broken(Exception):
    """An operation failed in a way that the pool does not know: what it left in memory can't be trusted."""


class Broker:
    """``start`` it, then ``change`` and ``look`` from any thread; ``stop`` answers what waits and ends."""

    def __init__(
        self,
        store: Store,
        make: Callable[[], Pool],
        clock: Callable[[], float] = time.time,
        after: Callable[[View], None] = lambda view: None,
    ) -> None:
        self._store, self._make, self._clock, self._after = store, make, clock, after
        self._history, self._past = History(store), Past(store)
        self._wake = threading.Condition()
        self._waiting: list[Job] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pool, self._version, self._looked_at = make(), -1, 0.0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gpu-pool-broker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What waits is still answered."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self._store.engine.dispose()

    def change(self, act: Act, show: Show) -> Future[Any]:
        """The answer, once it is in the database. Fails with the pool's own errors, or with ComponentError if the database does not answer:
        then nothing has been promised, and the same may be asked again."""
        return self._ask(Job(act, show))

    def look(self, show: Callable[[View], Any]) -> Future[Any]:
        """What the pool shows now, another API server's changes included."""
        return self._ask(Job(None, lambda view, _: show(view)))

    def _ask(self, job: Job) -> Future[Any]:
        with self._wake:
            if self._stopping:
                job.answer.set_exception(ComponentError("is stopping.", where="GPU pool", remedy="Ask again in a moment."))
            else:
                self._waiting.append(job)
                self._wake.notify()
        return job.answer

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._waiting and not self._stopping:
                    self._wake.wait(self._pause_s())
                jobs, self._waiting = self._waiting, []
                if self._stopping and not jobs:
                    return
            try:
                self._batch(jobs)
            except Exception:
                LOG.exception("GPU pool: a batch failed")
                self._forget()

    def _pause_s(self) -> float:
        due = self._pool.next_due()
        now = self._clock()
        return min(max((due if due is not None else now + IDLE_S) - now, LEAST_S), IDLE_S)

    def _batch(self, jobs: list[Job]) -> None:
        jobs = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
        now = self._clock()
        try:
            if self._must_write(jobs, now):
                now = self._write(jobs)
            elif jobs or now - self._looked_at >= LOOK_S:
                self._look(now)
            elif self._version >= 0:
                self._pool.listening(now)
        except Exception as error:
            LOG.warning("GPU pool: the database did not take a batch of %d: %s", len(jobs), error)
            self._forget()
            for job in jobs:
                job.answer.set_exception(ComponentError("The database does not answer.", where="GPU pool", remedy="Ask again in a moment."))
            return
        view = View(self._pool, now)
        for job in jobs:
            self._answer(job, view)
        self._after(view)

    def _must_write(self, jobs: list[Job], now: float) -> bool:
        due = self._pool.next_due()
        return any(job.act for job in jobs) or (due is not None and due <= now) or self._history.due(now)

    def _look(self, now: float) -> None:
        self._looked_at = now
        if self._store.version() != self._version:
            with self._store.turn() as turn:
                self._refresh(turn)

    def _write(self, jobs: list[Job]) -> float:
        """Again if the database fails; again without an operation that broke."""
        tries = TRIES
        while True:
            try:
                return self._transaction(jobs)
            except Broken as broken:
                LOG.error("GPU pool: an operation broke", exc_info=broken.__cause__)
            except Exception:
                tries -= 1
                if not tries:
                    raise
                LOG.warning("GPU pool: a transaction failed, once more", exc_info=True)
            self._forget()

    def _transaction(self, jobs: list[Job]) -> float:
        with self._store.turn() as turn:
            now = self._clock()  # after the wait for the lock
            self._refresh(turn)
            pool = self._pool
            pool.listening(now)
            for job in jobs:
                self._act(job, now)
            pool.tick(now)
            changes = pool.take_changes()
            version = self._store.write(turn, pool, changes) if changes else turn.version
            self._history.write(turn.connection, pool, now)
        self._version, self._looked_at = version, now
        return now

    def _act(self, job: Job, now: float) -> None:
        if job.act is None or isinstance(job.error, Broken):
            return
        job.value = job.error = None
        try:
            job.value = job.act(self._pool, now)
        except UpdraftError as error:
            job.error = error
        except Exception as error:
            job.error = Broken("The GPU pool failed at this request; its log says more.")
            raise job.error from error

    def _answer(self, job: Job, view: View) -> None:
        try:
            if job.error is not None:
                raise job.error
            answer = job.show(view, job.value)
        except Exception as error:
            job.answer.set_exception(error)
        else:
            job.answer.set_result(answer)

    def _refresh(self, turn: Turn) -> None:
        if turn.version != self._version:
            if self._version < 0:
                self._pool.recall(reversed(self._past.leases(RECALLED)))
            self._store.fill(turn, self._pool)
            self._version = turn.version

    def _forget(self) -> None:
        """The next batch reads the pool anew."""
        self._pool, self._version = self._make(), -1
