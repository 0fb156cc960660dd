"""What can be given out: nodes and their GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from include.errors import InputError

FULL = 1000
"""A whole GPU, in thousandths (milli), the unit of every share here."""


@dataclass(frozen=True)
class Device:
    """One GPU. ``free_milli`` is what may still be given out, 0 to 1000; memory that foreign processes hold is never in it.

    ``memory_mib`` is the device's whole memory; 0 means unknown, and then no request by memory fits it.
    """

    uuid: str
    model: str
    memory_mib: int = 0
    free_milli: int = FULL

    def __post_init__(self) -> None:
        if not 0 <= self.free_milli <= FULL:
            raise InputError(f"free_milli is {self.free_milli}", where=f"device {self.uuid}", remedy=f"Give 0 to {FULL}.")
        if self.memory_mib < 0:
            raise InputError(f"memory_mib is {self.memory_mib}", where=f"device {self.uuid}", remedy="Give MiB, or 0 if unknown.")


@dataclass(frozen=True)
class Node:
    """A machine with its free CPU (milli-cores), free memory (MiB) and GPUs, all of one model and memory size.

    Ties between nodes go to the smallest ``name``.
    """

    name: str
    cpu_milli: int
    memory_mib: int
    devices: tuple[Device, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, value in (("cpu_milli", self.cpu_milli), ("memory_mib", self.memory_mib)):
            if value < 0:
                raise InputError(f"{what} is {value}", where=f"node {self.name}", remedy="Give 0 or more.")
        kinds = sorted({(device.model, device.memory_mib) for device in self.devices})
        if len(kinds) > 1:
            raise InputError(
                f"has GPUs of several kinds: {kinds}",
                where=f"node {self.name}",
                remedy="Declare it as one node a kind, and share out its CPU and memory between them.",
            )

    @property
    def kind(self) -> tuple[str, int]:
        """The GPUs' model and memory (MiB); ("", 0) without a GPU."""
        return (self.devices[0].model, self.devices[0].memory_mib) if self.devices else ("", 0)
