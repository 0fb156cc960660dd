"""A step under a GPU lease ends itself when nobody renews the lease any more: the devices may be another's by then.

Whoever follows the step renews (``lease.json`` in the step's folder); the step's own process looks. So a step whose task and worker have
died goes on for as long as its lease does, which is enough for a retry to take it over, and no longer.

Both may be on different machines: what is left of the lease is counted down by the step's own clock, from when it saw that it was renewed.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from include import atomic
from include.runtime import untrusted

FILE = "lease.json"
LOOK_S = 1.0
KILL_S = 5.0
"""Between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class _Kept:
    """What is in the file. ``left_s`` counts from the moment of its writing; ``renewals`` tells one writing from the next."""

    lease: str = ""
    left_s: float = 0.0
    renewals: int = 0


class Stopped(SystemExit):
    """Raised in the user's code when the step must stop: not the code's own doing."""


def renew(folder: Path, lease: str, until: float) -> None:
    """The lease is good until then, by this machine's monotonic clock (seconds): written down as what is left from now on, because the
    step may run on a machine with another clock, and counted."""
    known = _read(folder)
    left = until - time.monotonic()
    # Whoever the step runs as must be able to read it; it holds no secret.
    atomic.write(folder / FILE, json.dumps({"lease": lease, "left_s": left, "renewals": known.renewals + 1}), mode=0o644)


def lease_of(folder: Path) -> str:
    """The lease that the step runs under; "" if none."""
    return _read(folder).lease


def watch(folder: Path, say: Callable[[str], None]) -> None:
    """In the step's process: SIGTERM raises Stopped from now on, so that the user's code may save what there is; and a thread ends the
    process, with its group, once the lease has run out. ``say`` is called with the reason before."""
    if lease_of(folder):
        stoppable()
        watched = _Watched(folder)
        threading.Thread(target=watched.look, name="lease", daemon=True).start()
        threading.Thread(target=watched.end, args=(say,), name="lease-end", daemon=True).start()


def stoppable() -> None:
    """SIGTERM raises Stopped from now on."""
    signal.signal(signal.SIGTERM, _stop)


class _Watched:
    """Who looks and who ends are two threads: a volume that does not answer holds up the first alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = _read(folder)
        self._deadline = time.monotonic() + self._seen.left_s

    def look(self) -> None:
        while True:
            looked = time.monotonic()
            time.sleep(LOOK_S)
            with suppress(OSError):
                # What can't be read is no renewal, and no end either.
                if (now := _read(self._folder)).lease and now != self._seen:
                    # It was renewed after the last look at the earliest: counted from there, the deadline is never too late.
                    self._seen, self._deadline = now, looked + now.left_s

    def end(self, say: Callable[[str], None]) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
        reason = "its GPU lease was not renewed in time: whoever followed the step has died, or lost touch with the pool."
        saying = threading.Thread(target=say, args=(reason,), daemon=True)
        saying.start()
        saying.join(KILL_S)
        end = os.killpg if os.getpgrp() == os.getpid() else os.kill
        end(os.getpid(), signal.SIGTERM)
        time.sleep(KILL_S)
        end(os.getpid(), signal.SIGKILL)


def _read(folder: Path) -> _Kept:
    try:
        return _Kept(**json.loads(untrusted.text(folder / FILE) or "{}"))
    except (ValueError, RecursionError, TypeError):
        return _Kept()  # whoever wrote that was not the platform


def _stop(number: int, frame: FrameType | None) -> None:
    print("Told to stop: the GPU is wanted back.", flush=True)
    raise Stopped(128 + number)
