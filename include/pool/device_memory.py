"""Whose memory it is that a device reports as used: its holders', or somebody's without a lease. Pure.

``held`` everywhere: the thousandths of the device that leases have, by lease id.
"""

from __future__ import annotations

from collections.abc import Mapping

from include.placement.node import FULL
from include.pool.state import Device

UNEXPLAINED_MIB = 256
"""Memory in use that no process holds is a driver's own up to this; more is taken for processes that the agent may not see."""


def foreign_mib(held: Mapping[str, int], device: Device) -> int:
    """Return the memory that nobody's lease accounts for, MiB."""
    if sum(held.values()) >= FULL:
        return 0  # all of it is leased: whatever runs there is the holder's business
    ours = [process.memory_mib for process in device.processes if process.lease in held]
    others = sum(process.memory_mib or 0 for process in device.processes if process.lease not in held)
    if None in ours:
        return others  # a holder's process doesn't tell how much it has: what is unexplained may be all its own
    unexplained = device.used_mib - device.reserved_mib - sum(memory or 0 for memory in ours)
    return max(others, unexplained if unexplained > UNEXPLAINED_MIB else 0)


def seen_mib(held: Mapping[str, int], device: Device) -> dict[str, int]:
    """Return the memory that holders are seen to use, MiB by lease id; who uses nothing, or can't be told from others, is left out."""
    seen: dict[str, int] = {}
    for lease, milli in held.items():
        ours = [process.memory_mib for process in device.processes if process.lease == lease]
        told = [memory for memory in ours if memory is not None]
        if ours and len(told) == len(ours):
            known = sum(told)
        elif milli >= FULL:
            known = device.used_mib - device.reserved_mib  # all that is used there is the holder's
        else:
            continue
        if known > 0:
            seen[lease] = known
    return seen


def overused_mib(held: Mapping[str, int], device: Device) -> dict[str, int]:
    """Return the memory that the holders of shares use beyond what they were granted, MiB by lease id; those within it are left out."""
    over: dict[str, int] = {}
    for lease, milli in held.items():
        used = sum(process.memory_mib or 0 for process in device.processes if process.lease == lease)
        granted = max(device.memory_mib - device.reserved_mib, 0) * milli // FULL
        if milli < FULL and used - granted > UNEXPLAINED_MIB:
            over[lease] = used - granted
    return over
