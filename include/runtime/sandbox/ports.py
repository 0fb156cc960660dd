"""The TCP ports that a process in a container or a pod may use: its folders are the engine's to hold, its network is not.

With the machine's network a container reaches all of loopback, and in any network the cloud's metadata address. So the first process there
gives up every port but those in ``UPDRAFT_TCP``, for itself and all that it starts, by Landlock and a filter of system calls, where kernel
and engine have them.

Standard library only: it runs in every image.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from include.runtime.sandbox import landlock, seccomp

VARIABLE = "UPDRAFT_TCP"
HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class Ports:
    """``connect``: of whatever address. ``listen``: connected to as well. ``handed_out``: those besides that the kernel gives to who asks
    for any, but none from the first to the last of ``closed``."""

    connect: tuple[int, ...] = ()
    listen: tuple[int, ...] = ()
    handed_out: bool = True
    closed: tuple[int, int] = (0, 0)

    def environment(self) -> dict[str, str]:
        """What tells the first process in a container."""
        return {VARIABLE: json.dumps(asdict(self), sort_keys=True)}

    def allow(self, rules: landlock.Ruleset) -> None:
        """Add them to the rules."""
        free = handed_out(self.closed) if self.handed_out else []
        rules.bind((0, *self.listen, *free) if self.handed_out else self.listen)
        rules.connect((*self.connect, *self.listen, *free))


def handed_out(closed: tuple[int, int]) -> list[int]:
    """Return the ports that the kernel gives to who asks for any, without those from the first to the last of ``closed``."""
    first, last = (int(part) for part in HANDED_OUT.read_text().split())
    return [port for port in range(first, last + 1) if not closed[0] <= port <= closed[1]]


def hold(environment: MutableMapping[str, str], listen: Sequence[int] = ()) -> None:
    """Give up all other ports, where the environment says which remain; without that nothing happens. There is no way back.

    ``listen``: those besides that are known only here, of which the same is true as of :attr:`Ports.listen`.
    What kernel or engine don't offer is left out. Raises OSError when they refuse what they said they offer.
    """
    if not (told := environment.pop(VARIABLE, "")):
        return
    known = json.loads(told)
    ports = Ports(tuple(known["connect"]), (*known["listen"], *listen), known["handed_out"], tuple(known["closed"]))
    if landlock.abi() >= landlock.PORTS:
        rules = landlock.Ruleset(files=False)
        ports.allow(rules)
        rules.enforce()
    if seccomp.possible():
        seccomp.enforce()
