"""One GPU, or its MIG instances, as NVML tells them now. What a driver doesn't tell is named in :attr:`Device.unknown`, never made up."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from include.inventory.holders import process
from include.inventory.model_names import short_name
from include.inventory.nvml_readings import readings
from include.pool import mig
from include.pool.state import Device, Process

MIB = 2**20
DRIVER_MIB = 128
"""Memory that no process is listed with, up to this, is the driver's own: counted as reserved. A CUDA context alone takes more."""
OLD_DRIVER_MIB = 1024
"""The same for drivers before 510, which do not tell what they reserve from what is used."""
UNCUT = "it is in MIG mode and no instance is cut: cut some, or leave MIG mode (nvidia-smi mig -cgi, nvidia-smi -mig 0)"
MODEL, MEMORY, PROCESSES = "model", "memory", "processes"
"""What may be unknown of a device."""
_NAMED = re.compile(rf"MIG\s+({mig.PROFILE})", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True)
class _Memory:
    """MiB. ``used`` holds ``reserved``."""

    total: int
    used: int
    reserved: int
    driver: int


class DeviceReader:
    """Reads GPUs by their NVML handles. ``sharing`` is what the owner declares acceptable for shares; ``api`` the pynvml module.

    A figure that this GPU, driver or user doesn't get (not supported, no permission) is unknown. So are a name and processes that can't be
    read for another reason; any other error is raised as NVMLError: a memory of 0 for a moment would cost leases.
    """

    def __init__(self, api: Any, sharing: str) -> None:
        self._api, self._sharing = api, sharing
        self._gone = (api.NVMLError_GpuIsLost, api.NVMLError_ResetRequired)
        self.instance_ids: dict[str, int] = {}
        """The driver's ids of GPU instances, by uuid of the MIG device; of those that it tells."""
        self._withheld = (api.NVMLError_NotSupported, api.NVMLError_NoPermission, api.NVMLError_FunctionNotFound)

    def read(self, handle: Any, uuid: str, index: int, failed: str) -> list[Device]:
        """Return the GPU itself or, in MIG mode, its instances; the GPU as failed where none is cut.

        ``failed`` says why it must not be used, "" if it may.
        """
        gpu = self._whole(handle, uuid, index, failed)
        instances = self._instances(handle, gpu)
        return [gpu] if instances is None else instances

    def _whole(self, handle: Any, uuid: str, index: int, failed: str) -> Device:
        memory, processes = self._memory(handle), self._processes(handle)
        name = self._optional(lambda: self._api.nvmlDeviceGetName(handle))
        return Device(
            uuid=uuid,
            index=index,
            model=short_name(name, memory.total if memory else 0) if name else "unknown",
            memory_mib=memory.total if memory else 0,
            sharing=self._sharing if memory else "",
            used_mib=memory.used if memory else 0,
            reserved_mib=_reserved(memory, processes or ()) if memory else 0,
            failed=failed,
            unknown=_unknown(name, memory, processes),
            processes=processes or (),
            readings=readings(self._api, handle),
        )

    def _instances(self, handle: Any, gpu: Device) -> list[Device] | None:
        """The MIG instances of a GPU, None when it isn't in MIG mode. What fails here is raised: an instance left out costs its leases."""
        api = self._api
        try:
            mode, _ = api.nvmlDeviceGetMigMode(handle)
        except self._withheld:
            return None
        if mode != api.NVML_DEVICE_MIG_ENABLE:
            return None
        found = []
        for place in range(api.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(api.NVMLError_NotFound):
                found.append(self._instance(api.nvmlDeviceGetMigDeviceHandleByIndex(handle, place), gpu, handle))
        return found or [_out(gpu, UNCUT)]

    def _instance(self, handle: Any, gpu: Device, parent: Any) -> Device:
        memory, processes = self._memory(handle), self._processes(handle)
        profile, uuid = self._profile(handle, memory), self._api.nvmlDeviceGetUUID(handle)
        return Device(
            uuid=uuid,
            index=gpu.index,
            model=gpu.model,
            memory_mib=memory.total if memory else mig.memory_mib(profile),
            mig=profile,
            parent=gpu.uuid,
            first_slice=self._first_slice(handle, parent, uuid),
            used_mib=memory.used if memory else 0,
            reserved_mib=_reserved(memory, processes or ()) if memory else 0,
            failed=gpu.failed,
            unknown=_unknown(gpu.model, memory, processes),
            processes=processes or (),
            readings={name: value for name, value in gpu.readings.items() if name != "utilisation_pct"},  # not told for one instance
        )

    def _first_slice(self, handle: Any, parent: Any, uuid: str) -> int:
        """1 to 8; 0 where the driver doesn't tell (only root may ask), or where the instance is one of several in a GPU instance."""
        number = self._optional(lambda: self._api.nvmlDeviceGetGpuInstanceId(handle))
        if number is None:
            return 0
        self.instance_ids[uuid] = number
        found = self._optional(lambda: self._api.nvmlGpuInstanceGetInfo(self._api.nvmlDeviceGetGpuInstanceById(parent, number)))
        return 0 if found is None else int(found.placement.start) + 1

    def _profile(self, handle: Any, memory: _Memory | None) -> str:
        match = _NAMED.search(self._optional(lambda: self._api.nvmlDeviceGetName(handle)) or "")
        if match:
            return mig.canonical(match[1])
        attributes = self._api.nvmlDeviceGetAttributes(handle)
        total = memory.total if memory else attributes.memorySizeMB
        return f"{attributes.gpuInstanceSliceCount}g.{-(-total // 1024)}gb"

    def _memory(self, handle: Any) -> _Memory | None:
        """None where the driver tells no memory of its own: unified with the host's (GB10, Jetson), or withheld from this user."""
        told = self._told(lambda: self._api.nvmlDeviceGetMemoryInfo(handle, version=self._api.nvmlMemory_v2))
        if told is not None:
            return _Memory(told.total // MIB, _up(told.used + told.reserved), _up(told.reserved), DRIVER_MIB)
        old = self._told(lambda: self._api.nvmlDeviceGetMemoryInfo(handle))
        return None if old is None else _Memory(old.total // MIB, _up(old.used), 0, OLD_DRIVER_MIB)

    def _processes(self, handle: Any) -> tuple[Process, ...] | None:
        """Each process once, with the larger figure where it computes and draws; None where the driver lists none of either."""
        held: dict[int, int | None] = {}
        listings = [
            self._optional(lambda ask=ask: ask(handle))  # type: ignore[misc]
            for ask in (self._api.nvmlDeviceGetComputeRunningProcesses, self._api.nvmlDeviceGetGraphicsRunningProcesses)
        ]
        for entry in (entry for listing in listings for entry in listing or ()):
            figure = None if entry.usedGpuMemory is None else _up(entry.usedGpuMemory)
            known = held.get(entry.pid)
            held[entry.pid] = figure if known is None else max(known, figure or 0)
        found = tuple(process(pid, memory_mib) for pid, memory_mib in sorted(held.items()))
        return None if listings == [None, None] else found

    def _optional(self, ask: Callable[[], T]) -> T | None:
        """None for what can't be read now, unless the GPU is gone."""
        try:
            return ask()
        except self._gone:
            raise
        except self._api.NVMLError:
            return None

    def _told(self, ask: Callable[[], T]) -> T | None:
        """None for what this GPU or driver doesn't tell, or not to this user."""
        try:
            return ask()
        except self._withheld:
            return None


def unread(uuid: str, index: int, why: str) -> Device:
    """Return a GPU that is there and could never be read: nothing is known of it but that."""
    return Device(uuid, index, "unknown", 0, failed=why, unknown=(MODEL, MEMORY, PROCESSES))


def _out(gpu: Device, why: str) -> Device:
    return Device(gpu.uuid, gpu.index, gpu.model, gpu.memory_mib, failed=gpu.failed or why, unknown=gpu.unknown, readings=gpu.readings)


def _unknown(name: str | None, memory: _Memory | None, processes: Sequence[Process] | None) -> tuple[str, ...]:
    missing = {MODEL: name, MEMORY: memory, PROCESSES: processes}
    return tuple(what for what, found in missing.items() if found is None)


def _reserved(memory: _Memory, processes: Sequence[Process]) -> int:
    unlisted = memory.used - memory.reserved - sum(process.memory_mib or 0 for process in processes)
    return memory.reserved + min(max(unlisted, 0), memory.driver)


def _up(count: int) -> int:
    return -(-count // MIB)
