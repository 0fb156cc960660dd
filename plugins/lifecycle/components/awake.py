"""Airflow's scheduler, woken by what is written instead of looking again and again.

Between two looks Airflow's scheduler sleeps for a fixed time: short, it costs a share of a processor all day; long, every task of a chain
waits that much longer. A look takes some 12 ms; whether anything was written since the last one is known in 0.05 ms. So that is asked
often, and it is looked as soon as something was written while a run is under way, or once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

from lifecycle.components.writes import Writes

POLL_S = 0.05
REST_S, BUSY_S = 1.0, 0.5
"""The longest sleep without, and with, a run under way: what comes with time alone, a schedule or a retry, is seen after these
(seconds)."""
SHARE = 3.0
BLIND_S = 0.2
"""The shortest sleep is :data:`SHARE` times the last look, but not over :data:`BLIND_S` (seconds): a scheduler that is woken all the time
leaves the processor to the tasks. Where the database can't say what was written, each sleep is as long as that."""
WORK = (
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM dag_run WHERE state IN ('queued', 'running'))"
    " OR EXISTS (SELECT 1 FROM asset_dag_run_queue) THEN 1 ELSE 0 END"
)
"""Whether a run is under way, or an asset of Airflow's asks for one."""


class Sight(Protocol):
    """What :class:`lifecycle.components.writes.Writes` promises."""

    @property
    def known(self) -> bool: ...
    def changed(self) -> bool: ...
    def ask(self, question: str) -> bool: ...


class Awake:
    """The sleep between two looks. ``clock`` and ``sleep`` are the time's (seconds)."""

    def __init__(self, sight: Sight, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sight, self._clock, self._sleep = sight, clock, sleep
        self._working = True
        self._woken_s = clock()

    def wait(self) -> None:
        """Sleep until there may be something to do. What was written during the last look counts: it may have come too late for it."""
        begun = self._clock()
        pause_s = min(max(SHARE * (begun - self._woken_s), POLL_S), BLIND_S) if self._sight.known else BLIND_S
        while True:
            self._sleep(pause_s)
            pause_s = POLL_S
            changed = self._sight.changed()
            if changed and self._sight.known:
                self._working = self._sight.ask(WORK)
            if (changed and self._working) or self._clock() - begun >= (BUSY_S if self._working else REST_S):
                break
        self._woken_s = self._clock()


class AwakeScheduler(SchedulerJobRunner):
    """Airflow's scheduler, whose sleep between two looks is :meth:`Awake.wait`."""

    _awake: Awake | None = None

    @property
    def _scheduler_idle_sleep_time(self) -> float:
        """Airflow sleeps for what this says; here it has slept already."""
        if self._awake is None:
            from airflow import settings

            self._awake = Awake(Writes(settings.get_engine()))
        self._awake.wait()
        return 0.0

    @_scheduler_idle_sleep_time.setter
    def _scheduler_idle_sleep_time(self, seconds: float) -> None:
        """What the configuration says is for a scheduler that nobody wakes."""


def employ() -> None:
    """Have ``airflow scheduler`` run :class:`AwakeScheduler` in this process."""
    from airflow.cli.commands import scheduler_command

    scheduler_command.SchedulerJobRunner = AwakeScheduler  # type: ignore[attr-defined]
