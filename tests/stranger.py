"""Somebody else on the machine: another user, who listens where nobody does at the moment."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

USER = 65_533
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
HOSTS = ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1")


def tries(port: int, user: int = USER) -> list[str]:
    """Return in which of all ways (address, options of the socket) a process of ``user`` came to listen where 127.0.0.1:port leads."""
    return [name for name, got in _as(user, lambda: _ways(port)) if got]


@contextmanager
def crowding(port: int, user: int = USER) -> Iterator[None]:
    """A process of ``user`` tries to listen there again and again, every few milliseconds, and keeps the port once it has it."""
    process = os.fork()
    if process == 0:
        _become(user)
        ways = _ways(port, keep=True)  # holds the socket that it has come to listen by
        while not any(got for _, got in ways):
            time.sleep(0.002)
            ways = _ways(port, keep=True)
        signal.pause()
    try:
        yield
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)


def _ways(port: int, *, keep: bool = False) -> Iterator[tuple[str, bool]]:
    # A port that is had at another address must not open this one.
    neighbour = _bind("127.0.0.2", port, True, True)
    for host in HOSTS:
        for share in (False, True):
            for reuse in (False, True):
                found = _bind(host, port, share, reuse)
                yield f"{host} share={share} reuse={reuse}", found is not None
                if found is not None and not keep:
                    found.close()
    if neighbour is not None:
        neighbour.close()


def _bind(host: str, port: int, share: bool, reuse: bool) -> socket.socket | None:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        made.bind((host, port))
        made.listen()
    except OSError:
        made.close()
        return None
    return made


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _as(user: int, work) -> Iterable[tuple[str, bool]]:
    here, there = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            _become(user)
            os.write(there, "\n".join(f"{name}\t{int(got)}" for name, got in work()).encode())
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as told:
        lines = told.read().splitlines()
    os.waitpid(process, 0)
    assert lines
    return [(line.split("\t")[0], line.endswith("1")) for line in lines]
