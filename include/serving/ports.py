"""Ports for revisions: out of the platform's range, none twice, none that somebody else listens on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable

from include.errors import ComponentError


def free_ports(host: str, candidates: Iterable[int], taken: Collection[int], count: int) -> list[int]:
    """The first ``count`` candidates that are neither taken nor listened on."""
    found: list[int] = []
    for port in candidates:
        if port not in taken and _can_bind(host, port):
            found.append(port)
        if len(found) == count:
            return found
    raise ComponentError("no free port is left for another revision.", where="revisions", remedy="Stop revisions that serve nothing.")


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL  # another machine's: its server says so if the port is taken there
    return True
