"""What is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from include.errors import InputError
from include.placement.node import FULL


@dataclass(frozen=True)
class Workload:
    """Whole GPUs (``gpus``, all on one node), or a share of one GPU (``milli``), or GPU memory on one GPU (``gpu_memory_mib``).

    With none of the three it is a CPU-only task. ``models`` empty means any GPU model. ``labels`` must all be on the node, as they are.
    CPU in milli-cores, memory in MiB; neither may be exceeded.
    """

    gpus: int = 0
    milli: int = 0
    gpu_memory_mib: int = 0
    models: frozenset[str] = frozenset()
    cpu_milli: int = 0
    memory_mib: int = 0
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("gpus", "milli", "gpu_memory_mib", "cpu_milli", "memory_mib"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}", where="request", remedy="Give 0 or more.")
        if sum(value > 0 for value in (self.gpus, self.milli, self.gpu_memory_mib)) > 1:
            raise InputError(
                "asks for GPUs in more than one way", where="request", remedy="Give one of gpus, milli and gpu_memory_mib, not several."
            )
        if self.milli >= FULL:
            raise InputError(f"milli is {self.milli}", where="request", remedy=f"A share is 1 to {FULL - 1}; for whole GPUs give gpus.")

    @property
    def shared(self) -> bool:
        """Whether part of one GPU is asked for, rather than whole ones or none."""
        return self.milli > 0 or self.gpu_memory_mib > 0

    @property
    def devices(self) -> int:
        """How many GPUs it touches."""
        return 1 if self.shared else self.gpus

    def milli_on(self, device_memory_mib: int) -> int:
        """Thousandths of one GPU with that much memory; more than 1000 where it can't fit even an empty one."""
        if self.gpu_memory_mib:
            return -(-FULL * self.gpu_memory_mib // device_memory_mib) if device_memory_mib else FULL + 1
        return self.milli or FULL

    def allows(self, model: str) -> bool:
        return not self.models or model in self.models
