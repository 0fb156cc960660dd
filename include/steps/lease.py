"""A step under a GPU lease ends itself when nobody renews the lease any more: the devices may be another's by then.

Whoever follows the step renews (``lease.json`` in the step's folder); the step's own process looks. So a step whose task and worker have
died goes on for as long as its lease does, which is enough for a retry to take it over, and no longer.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from include import atomic

FILE = "lease.json"
LOOK_S = 1.0
KILL_S = 5.0
"""Between SIGTERM and SIGKILL."""


class Stopped(SystemExit):
    """Raised in the user's code when the step must stop: not the code's own doing."""


def renew(folder: Path, lease: str, until: float) -> None:
    """The lease is good until then, by this machine's monotonic clock (seconds)."""
    atomic.write(folder / FILE, json.dumps({"lease": lease, "until": until}))


def lease_of(folder: Path) -> str:
    """The lease that the step runs under; "" if none."""
    return _read(folder)[0]


def watch(folder: Path, say: Callable[[str], None]) -> None:
    """In the step's process: SIGTERM raises Stopped from now on, so that the user's code may save what there is; and a thread ends the
    process, with its group, once the lease has run out. ``say`` is called with the reason before."""
    if lease_of(folder):
        signal.signal(signal.SIGTERM, _stop)
        threading.Thread(target=_watch, args=(folder, say), name="lease", daemon=True).start()


def _watch(folder: Path, say: Callable[[str], None]) -> None:
    while (left := _read(folder)[1] - time.monotonic()) > 0:
        time.sleep(min(left, LOOK_S))
    say("its GPU lease was not renewed in time: whoever followed the step has died, or lost touch with the pool.")
    end = os.killpg if os.getpgrp() == os.getpid() else os.kill
    end(os.getpid(), signal.SIGTERM)
    time.sleep(KILL_S)
    end(os.getpid(), signal.SIGKILL)


def _read(folder: Path) -> tuple[str, float]:
    try:
        kept = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return "", 0.0
    return str(kept["lease"]), float(kept["until"])


def _stop(number: int, frame: FrameType | None) -> None:
    print("Told to stop: the GPU is wanted back.", flush=True)
    raise Stopped(128 + number)
