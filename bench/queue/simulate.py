"""A simulated clock over any scheduler: work comes, runs, is told to stop, ends. What each piece of work met with is what is measured."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from bench.queue.trace import Job
from include.errors import ComponentError

ANSWER_S = 5.0
"""A holder that is told to stop has stopped after so long."""
PROGRESS = 5_000
MOST_STOPS = 1_000
"""Of one job; beyond, the scheduler goes round in circles, and the run ends with an error rather than never."""


@dataclass(frozen=True)
class Turn:
    """What a scheduler has just decided."""

    started: Sequence[Job] = ()
    told: Sequence[Job] = ()
    """To stop; they still hold what they have."""


class Scheduler(Protocol):
    """Decides nothing but in :meth:`turn`, which is called after everything that happened at one time."""

    def submit(self, now: float, job: Job) -> None: ...

    def finish(self, now: float, job: Job) -> None:
        """It has done its work."""

    def stopped(self, now: float, job: Job) -> None:
        """It gave way as told, and waits again."""

    def turn(self, now: float) -> Turn: ...

    def due(self) -> float | None:
        """When :meth:`turn` should be called though nothing has happened."""

    def line(self, now: float) -> list[Job]:
        """Who waits, first in line first."""

    def holds(self, job: Job) -> float:
        """GPUs that are taken from others while it runs."""


@dataclass
class Course:
    """How one job fared. ``waited_s`` is all its time in the queue, before its first run and after every stop; ``held_s`` all the time that
    it had its GPUs (``gpus`` of them), ``lost_s`` the part of it whose work was lost, ``early_s`` the part before the last arrival."""

    job: Job
    gpus: float
    waited_s: float = 0.0
    held_s: float = 0.0
    lost_s: float = 0.0
    early_s: float = 0.0
    stops: int = 0
    finished_at: float = 0.0
    done_s: float = 0.0
    """Work kept."""
    since: float = 0.0
    """When its present wait or run began."""
    run: int = 0
    running: bool = False

    @property
    def late_s(self) -> float:
        """How much later it finished than if it had never waited nor been stopped."""
        return self.finished_at - self.job.submitted_at - self.job.duration_s


@dataclass
class Played:
    """``overtaken``: jobs that at some time stood in line behind one submitted later than their bound allows (see Overtaking)."""

    courses: list[Course]
    overtaken: int = 0
    turns: int = 0


@dataclass
class Overtaking:
    """Who stands behind somebody submitted when he had waited (11 - priority) x ``ageing_s`` already: by the pool's promise nobody.
    Time on GPUs (``held_s`` of a job that was stopped) is no waiting."""

    ageing_s: float
    keys: set[str] = field(default_factory=set)

    def look(self, line: Iterable[Job], held_s: Callable[[str], float] = lambda key: 0.0) -> None:
        latest = float("-inf")
        for job in line:
            if latest >= job.submitted_at + held_s(job.key) + (11 - job.priority) * self.ageing_s:
                self.keys.add(job.key)
            latest = max(latest, job.submitted_at)


def play(scheduler: Scheduler, jobs: Sequence[Job], *, checkpoint_s: float | None, ageing_s: float, title: str = "") -> Played:
    """All jobs from first to last. Work that is stopped goes on from its last checkpoint: every ``checkpoint_s`` of a run, None: never."""
    return _Play(scheduler, jobs, checkpoint_s, Overtaking(ageing_s), title).all()


class _Play:
    def __init__(self, scheduler: Scheduler, jobs: Sequence[Job], checkpoint_s: float | None, overtaking: Overtaking, title: str) -> None:
        self.scheduler, self.checkpoint_s, self.overtaking, self.title = scheduler, checkpoint_s, overtaking, title
        self.courses = {job.key: Course(job, scheduler.holds(job)) for job in jobs}
        self.numbers = count()
        self.agenda = [(job.submitted_at, next(self.numbers), "submit", job, 0) for job in jobs]
        heapq.heapify(self.agenda)
        self.left, self.turns = len(jobs), 0
        self.last = max(job.submitted_at for job in jobs)

    def all(self) -> Played:
        while self.left:
            now = self._next()
            while self.agenda and self.agenda[0][0] <= now:
                _, _, what, job, run = heapq.heappop(self.agenda)
                self._happens(now, what, job, run)
            self._turn(now)
        return Played(list(self.courses.values()), len(self.overtaking.keys), self.turns)

    def _next(self) -> float:
        due = self.scheduler.due()
        if not self.agenda and due is None:
            raise ComponentError(f"{self.left} jobs wait for ever.", where=self.title)
        return min(self.agenda[0][0] if self.agenda else float("inf"), float("inf") if due is None else due)

    def _happens(self, now: float, what: str, job: Job, run: int) -> None:
        course = self.courses[job.key]
        if what == "submit":
            course.since = now
            self.scheduler.submit(now, job)
        elif not course.running or course.run != run:
            return  # it was stopped before it could finish, or finished before it had to stop
        elif what == "finish":
            self._held(now, course)
            course.finished_at = now
            self.left -= 1
            self.scheduler.finish(now, job)
        else:
            self._stops(now, course)

    def _stops(self, now: float, course: Course) -> None:
        ran = now - course.since
        kept = ran // self.checkpoint_s * self.checkpoint_s if self.checkpoint_s else 0.0
        self._held(now, course)
        course.lost_s += ran - kept
        course.done_s += kept
        course.stops += 1
        if course.stops > MOST_STOPS:
            raise ComponentError(f"pod {course.job.key} was told to stop {course.stops:,} times by second {now:.0f}.", where=self.title)
        course.since = now
        self.scheduler.stopped(now, course.job)

    def _held(self, now: float, course: Course) -> None:
        course.running = False
        course.held_s += now - course.since
        course.early_s += max(0.0, min(now, self.last) - course.since)

    def _turn(self, now: float) -> None:
        line = self.scheduler.line(now)
        turn = self.scheduler.turn(now)
        self.turns += 1
        if turn.started:
            self.overtaking.look(line, lambda key: self.courses[key].held_s)
        for job in turn.started:
            course = self.courses[job.key]
            course.waited_s += now - course.since
            course.since, course.running, course.run = now, True, course.run + 1
            self._later(now + job.duration_s - course.done_s, "finish", job)
        for job in turn.told:
            self._later(now + ANSWER_S, "stop", job)
        if self.turns % PROGRESS == 0:
            ended = len(self.courses) - self.left
            print(f"  {self.title}: day {now / 86400:.1f}, {ended:,} of {len(self.courses):,} done", file=sys.stderr, flush=True)

    def _later(self, at: float, what: str, job: Job) -> None:
        heapq.heappush(self.agenda, (at, next(self.numbers), what, job, self.courses[job.key].run))
