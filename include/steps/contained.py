"""The first process of a step's container: ``python -m include.steps.contained FOLDER [PYTHON]``; by ``PYTHON`` (its own, if none is
named) it starts the step.

It gives up all TCP ports but those that the step may use (:mod:`include.runtime.sandbox.ports`), starts the step, copies what it prints to
``log.txt`` in its folder and to the container's own output, passes SIGTERM on, buries what the step leaves behind, and ends with the step's
exit status. (A process with number 1 is sent no SIGTERM unless it handles it, which the user's code need not know.)

Whoever follows the step asks it to stop by a file in its folder: the step is sent SIGTERM. A container's end, asked of whoever runs it,
comes with a time limit that is fixed by then, and an ended pod is gone with all that could be known of it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from include.runtime.sandbox import ports
from include.steps import gang

LOG, STOP = "log.txt", "stop"
LOOK_S = 1.0
SYNC_S = 1.0
"""What was printed is on the volume, for others to see, after this."""
DRAIN_S = 5.0
"""What the step has started may hold its output open after it has ended; nobody waits longer for that."""
CHUNK = 64 * 1024


def ask_to_stop(folder: Path) -> None:
    """SIGTERM to the step whose folder this is; nothing is waited for."""
    with suppress(FileExistsError):  # a link that user code has put there is not followed
        os.close(os.open(folder / STOP, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def main(folder: Path, python: str = sys.executable) -> int:
    step: subprocess.Popen[bytes] | None = None
    ports.hold(os.environ, gang.meets_at())

    def pass_on(number: int, frame: FrameType | None) -> None:
        if step is None:
            sys.exit(128 + number)
        with suppress(ProcessLookupError):
            os.kill(step.pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    os.environ.update(gang.told(folder))
    command = [python, "-m", "include.steps", str(folder)]
    step = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert step.stdout is not None
    mine = gang.node_folder(folder)
    copying = threading.Thread(target=_copy, args=(step.stdout.fileno(), mine / LOG), daemon=True)
    copying.start()
    threading.Thread(target=_look, args=(mine,), daemon=True).start()
    while True:
        process, status = os.wait()
        if process == step.pid:
            break
    copying.join(DRAIN_S)
    step.returncode = os.waitstatus_to_exitcode(status)
    return step.returncode if step.returncode >= 0 else 128 - step.returncode


def _look(folder: Path) -> None:
    """For the wish to stop. (Listing a folder makes a network volume's client see what is new there.)"""
    while True:
        with suppress(OSError):
            if STOP in os.listdir(folder):
                return os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LOOK_S)


def _copy(source: int, path: Path) -> None:
    """Until its end. A full or lost volume costs the log alone, not the step."""
    log, unseen, synced = -1, False, time.monotonic()
    with suppress(OSError):
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        ready = select.select([source], [], [], SYNC_S if unseen else None)[0]
        if unseen and (not ready or time.monotonic() - synced > SYNC_S):
            _sync(log)
            unseen, synced = False, time.monotonic()
        if ready:
            if not (chunk := os.read(source, CHUNK)):
                return _sync(log)
            for target in (1, log):
                with suppress(OSError):
                    os.write(target, chunk)
            unseen = True


def _sync(log: int) -> None:
    with suppress(OSError):
        os.fdatasync(log)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
