"""What supervisord says of programs, asked anew only when one of their processes has ended: the kernel tells that for nothing."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Collection
from contextlib import suppress

from include.runtime.supervisor import State

Known = dict[str, tuple[State, int]]


class Processes:
    """``ask`` is :meth:`include.runtime.supervisor.Supervisor.processes`."""

    def __init__(self, ask: Callable[[], Known]) -> None:
        self._ask = ask
        self._known: Known = {}
        self._descriptors: dict[str, int] = {}

    def of(self, programs: Collection[str]) -> Known:
        """State and process id of each, as they were when one of their processes ended last. Raises what ``ask`` raises."""
        if not set(programs) <= self._descriptors.keys() or self._one_has_ended():
            self._learn(programs)
        return {program: self._known.get(program, (State.ABSENT, 0)) for program in programs}

    def _one_has_ended(self) -> bool:
        poller = select.poll()
        for descriptor in self._descriptors.values():
            poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(0))

    def _learn(self, programs: Collection[str]) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        self._known = self._ask()
        for program in programs:
            state, process = self._known.get(program, (State.ABSENT, 0))
            if state is State.RUNNING and process:
                with suppress(OSError):  # it has ended meanwhile: asked for again
                    self._descriptors[program] = os.pidfd_open(process)
