"""The processes of one supervised program, found by what they all inherit: no process of a program outlives it.

supervisord ends a program's process group when it stops it, and nobody when the program's first process is killed: the workers of a killed
scheduler would wait for ever, the web server of a killed MLflow would hold its port and keep the next one from starting. So every program
is started through this file, which ends what an earlier process of the same program has left and then becomes the program.

Standard library only: it runs in no environment. Usage under supervisord: ``family.py FILE``, a JSON file that holds ``command`` (its
first part an absolute path) and ``environment``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

MARK = "UPDRAFT_SUPERVISED"
"""Every supervised process carries this variable; its value is the platform's home."""
PROGRAM = "SUPERVISOR_PROCESS_NAME"
"""Set by supervisord for every program, inherited by all that the program starts."""
POLL_S = 0.02
KILLED_S = 10.0
"""A killed process that is still there after this hangs in the kernel; nobody waits for it any longer."""


def family(home: str, program: str | None = None) -> list[int]:
    """Processes of this platform, or of one of its programs; not this one, and none that has ended already."""
    wanted = {f"{MARK}={home}".encode()} | ({f"{PROGRAM}={program}".encode()} if program else set())
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def end(home: str, program: str | None = None, grace_s: float = 0) -> int:
    """Ask them to end, kill them after ``grace_s`` seconds, and wait until they are gone (ten seconds at most).

    Returns how many there were.
    """
    first = family(home, program)
    if grace_s:
        _signal(first, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while family(home, program) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    deadline = time.monotonic() + KILLED_S
    while (rest := family(home, program)) and time.monotonic() < deadline:
        _signal(rest, signal.SIGKILL)
        time.sleep(POLL_S)
    return len(first)


def _signal(processes: Collection[int], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def main() -> None:
    start = json.loads(Path(sys.argv[1]).read_text())
    home, program = os.environ.get(MARK), os.environ.get(PROGRAM)
    if home and program:
        ended = end(home, program)
        if ended:
            print(f"Ended {ended} processes that the last {program} had left behind.", flush=True)
    os.umask(0o077)  # what a program makes is its owner's alone, whoever has started supervisord
    os.execve(start["command"][0], start["command"], os.environ | start["environment"])


if __name__ == "__main__":
    main()
