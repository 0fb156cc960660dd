"""Listens at ports that supervisord holds (:mod:`include.runtime.held_ports`), which takes SO_REUSEPORT.

``python -m include.runtime.reuse_port MODULE ARGUMENTS...`` runs a module whose uvicorn, which has no option for it, then listens so.
Until it does, whoever comes to the address in ``UPDRAFT_STARTING`` (``host:port``) is shown that it starts.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import socket
import sys
from contextlib import suppress
from typing import Any

from include.runtime.starting import StartingPage

STARTING = "UPDRAFT_STARTING"


def bound(host: str, port: int) -> socket.socket:
    """Return a TCP socket at ``host`` and ``port`` that others of this user with SO_REUSEPORT don't keep out. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def teach_uvicorn() -> None:
    """Have every uvicorn server of this process that is given no socket bind its own so."""
    import uvicorn

    run = uvicorn.Server.run

    def reusing(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> Any:
        return run(self, sockets or [bound(self.config.host, self.config.port)])

    uvicorn.Server.run = reusing  # type: ignore[method-assign]


def show_starting(address: str) -> None:
    """Answer at an address (``host:port``) that the server starts, until this process's uvicorn listens itself."""
    host, _, port = address.rpartition(":")
    starting = StartingPage(bound(host, int(port)))
    starting.start()
    import uvicorn

    startup = uvicorn.Server.startup

    async def started(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await startup(self, sockets)
        await asyncio.to_thread(starting.stop)

    uvicorn.Server.startup = started  # type: ignore[method-assign]


def main() -> None:
    if address := os.environ.pop(STARTING, ""):
        with suppress(OSError):  # it is taken: the server itself says so
            show_starting(address)
    teach_uvicorn()
    _, module, *sys.argv[1:] = sys.argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
