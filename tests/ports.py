"""Ports for the tests' servers, such that nobody else on this machine takes them: another worker of the same run, or another run."""

from __future__ import annotations

import fcntl
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

FIRST, LAST, STEP = 12000, 32000, 500
"""Port bases of whole platforms, below the ports that the kernel hands out by itself."""
OFFSETS = (0, 50, 51, 54, 63, 70, 71, 72, 73, 80, 90, *range(100, 130))
"""What a platform listens on, and the first of its revisions."""
_reserved: list[IO[str]] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_base() -> int:
    """Reserve a port base for as long as this process lives, and return it. A lock on a file keeps other processes from it."""
    folder = Path(tempfile.gettempdir()) / "updraft-test-ports"
    folder.mkdir(exist_ok=True)
    for base in range(FIRST, LAST, STEP):
        file = (folder / str(base)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        if all(_nobody_listens(base + offset) for offset in OFFSETS):
            _reserved.append(file)
            return base
        file.close()
    raise AssertionError(f"no free port base from {FIRST} to {LAST}")


@cache
def common_base() -> int:
    """Return the port base that all tests of this process have in common whose platforms listen one after the other, or not at all."""
    return free_base()


def _nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
