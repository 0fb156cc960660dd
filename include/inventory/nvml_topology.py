"""Which GPUs of this machine are linked by NVLink, and to which NUMA node each belongs, by NVML and the kernel's list of PCI devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PCI = Path("/sys/bus/pci/devices")


class Topology:
    """``api`` is pynvml; ``pci`` where the kernel lists PCI devices. Links don't change while a machine runs: each set of GPUs is asked
    once."""

    def __init__(self, api: Any, pci: Path = PCI) -> None:
        self._api, self._pci = api, pci
        self._known: dict[tuple[str, ...], dict[str, str]] = {}
        self._numa: dict[str, int] = {}

    def islands(self, handles: Mapping[str, Any]) -> dict[str, str]:
        """Return the island of each GPU, by UUID, in which every two are linked; those linked to no other are left out.

        A driver that doesn't tell has no links. Raises nothing.
        """
        key = tuple(handles)
        if key not in self._known:
            self._known = {key: self._asked(handles)}
        return self._known[key]

    def _asked(self, handles: Mapping[str, Any]) -> dict[str, str]:
        islands: list[list[str]] = []
        for uuid in handles:
            for island in islands:
                if all(self._linked(handles[uuid], handles[other]) for other in island):
                    island.append(uuid)
                    break
            else:
                islands.append([uuid])
        linked = [island for island in islands if len(island) > 1]
        return {uuid: str(number) for number, island in enumerate(linked) for uuid in island}

    def _linked(self, one: Any, other: Any) -> bool:
        """Whether the two speak to each other over NVLink (with or without a switch between them)."""
        api = self._api
        try:
            return bool(api.nvmlDeviceGetP2PStatus(one, other, api.NVML_P2P_CAPS_INDEX_NVLINK) == api.NVML_P2P_STATUS_OK)
        except api.NVMLError:
            return False

    def numa(self, uuid: str, handle: Any) -> int:
        """Return the NUMA node that the GPU's slot belongs to; -1 where the machine has one alone, or doesn't tell. Raises nothing."""
        if uuid not in self._numa:
            self._numa[uuid] = self._read(handle)
        return self._numa[uuid]

    def _read(self, handle: Any) -> int:
        try:
            told = self._api.nvmlDeviceGetPciInfo(handle).busId
            bus = (told.decode() if isinstance(told, bytes) else str(told)).lower()
            domain, _, rest = bus.partition(":")  # NVML writes eight digits of the domain, the kernel four
            return max(-1, int((self._pci / f"{domain[-4:]}:{rest}" / "numa_node").read_text()))
        except (self._api.NVMLError, OSError, ValueError):
            return -1
