"""A function in a process of its own: it can be told to stop, and killed with all that it has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from include.errors import ComponentError
from include.runtime.parent import die_with

_FORK = multiprocessing.get_context("fork")


class Child:
    """Forks: the function sees everything that this process has, and ``environment`` besides. No other thread may run meanwhile.

    Told to stop, it gets SIGTERM: SystemExit is raised in it unless it has a handler of its own, so that ``finally`` may save what there
    is. It dies with the process that started it.
    """

    def __init__(self, function: Callable[[], Any], environment: Mapping[str, str]) -> None:
        self._receiver, sender = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_main, args=(function, dict(environment), sender, os.getpid()), daemon=False)
        self._process.start()
        with suppress(OSError):  # it does so itself as well: whoever comes first
            os.setpgid(self._process.pid or 0, 0)
        sender.close()
        self._answer: tuple[bool, Any] | None = None

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within this time."""
        if self._answer is None and wait([self._receiver, self._process.sentinel], timeout_s):
            with suppress(EOFError):
                if self._receiver.poll():
                    self._answer = self._receiver.recv()
        if self._answer is not None:
            self._process.join(timeout_s)
        return not self._process.is_alive()

    def terminate(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, and all in its process group."""
        self._signal(signal.SIGKILL)
        self._process.join()

    @property
    def returned(self) -> bool:
        """Whether the function has come to its end."""
        return self._answer is not None and self._answer[0]

    def result(self) -> Any:
        """What the function returned; raises what it raised, with its traceback as a note. ComponentError when it was killed."""
        self._signal(signal.SIGKILL)  # what it has left behind holds the device
        self._process.join()
        if self._answer is None:
            raise ComponentError(
                f"the function's process ended without a result (exit code {self._process.exitcode}): killed, or out of memory.",
                where="GPU task",
            )
        fine, value = self._answer
        if fine:
            return value
        raise value

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, number)


def _main(function: Callable[[], Any], environment: dict[str, str], sender: Connection, parent: int) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _stop)
    die_with(parent)
    os.environ.update(environment)
    answer: tuple[bool, Any]
    try:
        answer = True, function()
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        answer = False, error
    try:
        sender.send(answer)
    except Exception as error:  # what it returned or raised can't be pickled
        told = "".join(traceback.format_exception(answer[1])) if not answer[0] else f"what it returned can't be sent: {error!r}"
        sender.send((False, ComponentError(told, where="GPU task")))


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def stop(child: Child, seconds_left: Callable[[], float]) -> None:
    """SIGTERM now, SIGKILL when no seconds are left."""
    child.terminate()
    while not child.wait(min(seconds_left(), 0.2)):
        if seconds_left() <= 0:
            child.kill()
            return
        time.sleep(0.01)
