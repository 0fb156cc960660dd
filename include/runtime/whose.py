"""Whose server listens at a port, as the kernel tells it: a command that is given while a platform is down sends nobody else its login."""

from __future__ import annotations

from pathlib import Path

from include.errors import InputError
from include.runtime.settings import Settings

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"


def owners(port: int, tables: tuple[Path, ...] = TABLES) -> set[int]:
    """Return the users whose sockets take TCP connections at that port here, at whatever address."""
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {int(row[7]) for row in rows if row[3] == LISTENS and int(row[1].rpartition(":")[2], 16) == port}


def insist_own(settings: Settings, *ports: int) -> None:
    """Raise InputError where somebody else than the platform's owner listens at one of its ports.

    While supervisord runs nobody else can (:mod:`include.runtime.held_ports`): what is seen here does not change before it is asked.
    """
    mine = settings.home.stat().st_uid if settings.home.exists() else None
    for port in ports:
        if others := owners(port) - {mine}:
            raise InputError(
                f"user {min(others)} listens there, whose platform it is not: no login is sent.",
                where=f"port {port}",
                remedy="Is the platform up (`make status`)? Is it another home's (UPDRAFT_HOME, UPDRAFT_PORT_BASE)?",
            )
