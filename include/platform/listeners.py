"""What listens on this machine, and whose it is, as the kernel tells it: TCP, UDP and Unix sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ACCEPTS = 0x10000
"""The flag of a Unix socket that takes connections."""
LISTEN, UNCONNECTED = "0A", "07"
"""TCP's and UDP's states of a socket that waits for others."""


@dataclass(frozen=True)
class Listener:
    """A socket for others to come to: ``kind`` is tcp, udp or unix; ``host`` an address, or a Unix socket's path."""

    kind: str
    host: str
    port: int
    inode: int

    @property
    def loopback(self) -> bool:
        """Whether no other machine reaches it."""
        return self.kind == "unix" or self.host == "::1" or self.host.startswith(("127.", "::ffff:127."))


def listeners(folder: Path = Path("/proc/net")) -> list[Listener]:
    """All of this network namespace."""
    found = []
    for kind, state in (("tcp", LISTEN), ("udp", UNCONNECTED)):
        for table in (kind, f"{kind}6"):
            found += [Listener(kind, *parsed) for parsed in internet(_lines(folder / table), state)]
    return found + [Listener("unix", path, 0, inode) for path, inode in unix(_lines(folder / "unix"))]


def internet(lines: list[str], state: str) -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of a table's sockets in this state. Pure."""
    for line in lines[1:]:
        fields = line.split()
        if fields[3] == state:
            address, _, port = fields[1].rpartition(":")
            yield _address(address), int(port, 16), int(fields[9])


def unix(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Path and inode of the Unix sockets that take connections. Pure."""
    for line in lines[1:]:
        fields = line.split(maxsplit=7)
        if int(fields[3], 16) & ACCEPTS:
            yield fields[7] if len(fields) > 7 else "", int(fields[6])


def inodes(process: int) -> set[int]:
    """The sockets that a process has open, as far as this user may know."""
    found = set()
    try:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                found.add(int(target[len("socket:[") : -1]))
    except OSError:
        pass  # it has ended, or is another user's
    return found


def of(processes: Collection[int]) -> list[Listener]:
    """What these processes listen on."""
    own = set().union(*map(inodes, processes)) if processes else set()
    return [found for found in listeners() if found.inode in own]


def holders(port: int) -> list[int]:
    """The processes that have a TCP port open for others, as far as this user may know."""
    wanted = {found.inode for found in listeners() if found.kind == "tcp" and found.port == port}
    if not wanted:
        return []
    return [process for process in map(int, filter(str.isdigit, os.listdir("/proc"))) if inodes(process) & wanted]


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text(errors="replace").splitlines()
    except OSError:
        return [""]


def _address(text: str) -> str:
    """Out of the kernel's: hexadecimal, in words of this machine's byte order (x86's and ARM's)."""
    data = bytes.fromhex(text)
    words = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    return socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)
