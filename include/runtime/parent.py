"""A process that ends with the one that started it, however that ends. Linux only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end it now if ``parent`` has ended already."""
    with suppress(AttributeError):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def dying_with_this() -> Callable[[], None]:
    """Return what a new process has to do first (``preexec_fn``) to end with this one."""
    parent = os.getpid()
    return lambda: die_with(parent)
