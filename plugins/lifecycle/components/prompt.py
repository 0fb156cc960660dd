"""Airflow's triggerer, which takes triggers up and passes their events on within a quarter of a second.

Airflow's own takes two turns of a second for each: one until its first process has seen what is in the database, one until its second
process has asked for it. A trial of half a minute waited three seconds for that. Here the second process asks four times a second, and
the first looks into the database when something was written there, or once a second.
"""

from __future__ import annotations

import asyncio
import math
import time

import attrs
from airflow.jobs import triggerer_job_runner
from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor

from lifecycle.components.writes import Writes

TURN_S, LOOK_S = 0.25, 1.0
READY_S = 15.0
"""What the first trigger asks for (connections, variables) takes seconds to be set up: that is done so long after the start, once the rest
of the platform has started, unless a trigger is first."""


class PromptRunner(TriggerRunner):
    """The process that runs the triggers."""

    async def cancel_triggers(self) -> None:
        """Airflow's turn ends with this, and with a second of sleep that is cut short once the runner is told to stop."""
        await super().cancel_triggers()
        if self._stop_event is not None:
            self._stop_event.set()
            await asyncio.sleep(TURN_S)


@attrs.define(kw_only=True)
class PromptSupervisor(TriggerRunnerSupervisor):
    """The process that knows the database."""

    _writes: Writes | None = attrs.field(init=False, default=None)
    _begun_s: float = attrs.field(init=False, factory=time.monotonic)
    _looked_s: float = attrs.field(init=False, default=-math.inf)
    _cleaned_s: float = attrs.field(init=False, default=-math.inf)
    _is_ready: bool = attrs.field(init=False, default=False)

    def load_triggers(self) -> None:
        """Look what is to be run, where something may have changed."""
        if self._writes is None:  # made here: the other process was forked before
            from airflow import settings

            self._writes = Writes(settings.get_engine())
        now = time.monotonic()
        if self._writes.changed() or now - self._looked_s >= LOOK_S:
            self._looked_s = now
            super().load_triggers()
        if not self._is_ready and now - self._begun_s >= READY_S:
            self._is_ready = bool(self.client)

    def clean_unused(self) -> None:
        """Forget triggers that nobody waits for, as often as Airflow does."""
        if (now := time.monotonic()) - self._cleaned_s >= LOOK_S:
            self._cleaned_s = now
            super().clean_unused()


def employ() -> None:
    """Have ``airflow triggerer`` run these in this process."""
    triggerer_job_runner.TriggerRunner = PromptRunner  # type: ignore[misc]
    triggerer_job_runner.TriggerRunnerSupervisor = PromptSupervisor  # type: ignore[misc]
