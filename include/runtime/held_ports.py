"""Keeps the ports of supervised programs from others while nobody listens there.

A program that crashes frees its port until supervisord has started it again, which takes Airflow ten seconds. Whoever else on the machine
listened there meanwhile would be sent the passwords and keys that were meant for the program. So supervisord itself binds every such port,
without listening, by a socket with SO_REUSEPORT and without SO_REUSEADDR: the kernel then lets nobody bind it but sockets with SO_REUSEPORT
of the same user. A program that runs as a user of its own is given the socket (``fchown``), which is what the kernel compares.

Part of supervisord, as its RPC namespace ``ports``. Which ports are held is in files beside the programs' own: ``NAME.ports``, a JSON list
of ``host:port``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "ports"
URL, PROGRAM = "SUPERVISOR_SERVER_URL", "SUPERVISOR_PROCESS_NAME"
"""Which supervisord tells each program."""
GIVE_S = 30.0


class HeldPorts:
    """The sockets of one supervisord. Public methods are called by RPC."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self._folder, self._held = folder, dict[tuple[str, str], socket.socket]()
        for fault in self.refresh():
            say(fault)

    def refresh(self) -> list[str]:
        """Hold what the files name, and nothing else. Returns a sentence for each port that somebody else has."""
        wanted = {(file.stem, address) for file in sorted(self._folder.glob(f"*.{FILE}")) for address in json.loads(file.read_text())}
        for known in self._held.keys() - wanted:
            self._held.pop(known).close()
        faults = []
        for program, address in sorted(wanted - self._held.keys()):
            try:
                self._held[program, address] = hold(address)
            except OSError as error:
                faults.append(f"{address} can't be held for {program}: {error.strerror}")
        return faults

    def give(self, program: str, user: int) -> int:
        """Let ``user``, and no longer anybody else, listen at the program's ports. Returns how many there are."""
        held = [holder for (name, _), holder in self._held.items() if name == program]
        for holder in held:
            os.fchown(holder.fileno(), user, -1)
        return len(held)


def hold(address: str) -> socket.socket:
    """Return a socket that is bound to ``host:port`` and does not listen. Raises OSError when somebody else has it."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, int(port)))
    except BaseException:
        made.close()
        raise
    return made


def interface(supervisord: Any, folder: str) -> HeldPorts:
    """Make the RPC namespace, as supervisord's configuration names it; ``folder`` is that of its programs."""
    return HeldPorts(Path(folder), supervisord.options.logger.warn)


class _Connection(http.client.HTTPConnection):
    """To a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(GIVE_S)
        self.sock.connect(self.host)


def give_own(user: int) -> None:
    """Ask the supervisord that started this process to let ``user`` listen at its program's ports; nothing where none has.

    Raises OSError or xmlrpc.client.Fault when it does not.
    """
    url, program = os.environ.get(URL, ""), os.environ.get(PROGRAM)
    if not url.startswith("unix://") or not program:
        return
    connection = _Connection("localhost")
    connection.host = url.removeprefix("unix://")
    try:
        body = xmlrpc.client.dumps((program, user), "ports.give")
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml", "Host": "localhost"})
        xmlrpc.client.loads(connection.getresponse().read())
    finally:
        connection.close()
