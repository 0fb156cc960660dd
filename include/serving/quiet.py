"""Whether anybody is still connected to a server's port on this machine, read from the kernel's own table.

The gateway closes a connection to a server that it sends nothing more once the request on it has ended, so that a port without a
connection has answered everything.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

ESTABLISHED = "01"
POLL_S = 0.05
QUIET_S = 0.2
"""So long nobody is connected before it counts: a request on its way has connected by then."""


def connected(port: int, tables: tuple[Path, ...] = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))) -> int:
    """Return how many connections are open to a port, seen from who has opened them."""
    wanted = f"{port:04X}"
    found = 0
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, _, remote, state, *_ = line.split()
            found += state == ESTABLISHED and remote.rpartition(":")[2] == wanted
    return found


def is_here(host: str) -> bool:
    """Whether connections to this address are this machine's own to see."""
    try:
        return socket.inet_aton(host)[0] == 127
    except OSError:
        return False


def wait_quiet(host: str, port: int, timeout_s: float, busy: Callable[[], bool] = lambda: False) -> bool:
    """Wait until nobody is connected to a server that gets nothing new, and it is not ``busy`` in another way; False when that takes
    longer than ``timeout_s`` seconds. Of an address that is not this machine's the whole time is waited."""
    end, quiet_since = time.monotonic() + timeout_s, float("inf")
    while (now := time.monotonic()) < end:
        if not is_here(host) or busy() or connected(port):
            quiet_since = float("inf")
        else:
            quiet_since = min(quiet_since, now)
            if now - quiet_since >= QUIET_S:
                return True
        time.sleep(POLL_S)
    return False
