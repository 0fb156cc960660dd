"""The GPUs of this machine, as NVIDIA's driver tells them through NVML (package pynvml; field meanings: NVML API reference)."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from include.errors import ComponentError
from include.inventory.holders import process
from include.inventory.model_names import short_name
from include.inventory.nvml_faults import Faults
from include.inventory.nvml_readings import readings
from include.pool.state import Device, NodeReport, Process

MIB = 2**20
DRIVER_MIB = 128
"""Memory that no process is listed with, up to this, is the driver's own: counted as reserved. A CUDA context alone takes more."""
OLD_DRIVER_MIB = 1024
"""The same for drivers before 510, which do not tell what they reserve from what is used."""
PATIENCE = 3
PROFILE = re.compile(r"MIG\s+(?:\w+\.)?(\d+g\.\d+gb(?:\+\w+(?:\.\w+)?)?)", re.IGNORECASE)

T = TypeVar("T")


@dataclass(frozen=True)
class _Memory:
    """MiB. ``used`` holds ``reserved``."""

    total: int
    used: int
    reserved: int
    driver: int


class Nvml:
    """One node, ``name``, with its GPUs; a GPU in MIG mode is replaced by its instances.

    ``sharing`` is what the machine's owner declares acceptable for shares ("", time-slice, mps). A GPU that the driver has lost, or
    on which a critical Xid error was seen, is reported as failed. ``api`` is the pynvml module.
    """

    source = "nvml"
    cluster = False

    def __init__(self, name: str, *, sharing: str = "", api: Any = None) -> None:
        self._name, self._sharing, self._api = name, sharing, api or _pynvml()
        self._open = False
        self._faults = Faults(self._api)
        self._known: dict[int, list[Device]] = {}
        """By index: what a GPU, or its instances, were when they could last be read, for the day when they can't."""

        self._unreadable: dict[int, int] = {}
        """By index: readings in a row that have failed."""
        self._gone = (self._api.NVMLError_GpuIsLost, self._api.NVMLError_ResetRequired)

    def read(self) -> list[NodeReport]:
        """Raises ComponentError when there is no driver, or it has gone."""
        try:
            if not self._open:
                self._api.nvmlInit()
                self._open = True
            self._faults.look()
            count = self._api.nvmlDeviceGetCount()
        except self._api.NVMLError as error:
            self.close()
            raise ComponentError(f"does not work: {error}.", where="NVML", remedy="Is NVIDIA's driver loaded? See `nvidia-smi`.") from None
        devices: list[Device] = []
        for index in range(max(count, *(known + 1 for known in self._known), 0)):
            devices += [replace(device, index=len(devices) + place) for place, device in enumerate(self._gpu(index))]
        return [NodeReport(self._name, {}, tuple(devices))]

    def close(self) -> None:
        """Let go of the driver; the next reading takes hold of it again."""
        self._faults.forget()
        if self._open:
            self._open = False
            self._try(self._api.nvmlShutdown)

    def _gpu(self, index: int) -> Sequence[Device]:
        """The GPU at ``index``, or its MIG instances; none when it was never seen and can't be read."""
        try:
            handle = self._api.nvmlDeviceGetHandleByIndex(index)
            uuid = self._api.nvmlDeviceGetUUID(handle)
            self._faults.watch(uuid, handle)
            device = self._device(handle, uuid, index)
            instances = self._instances(handle, device)
        except self._api.NVMLError as error:
            return self._unread(index, error)
        self._unreadable.pop(index, None)
        self._known[index] = [device] if instances is None else instances
        return self._known[index]

    def _unread(self, index: int, error: Exception) -> list[Device]:
        """As last known; failed if it is lost, or can't be read for PATIENCE readings: a failed device costs its leases."""
        self._unreadable[index] = self._unreadable.get(index, 0) + 1
        known = self._known.get(index, [])
        if not isinstance(error, self._gone) and self._unreadable[index] < PATIENCE:
            return known
        return [replace(device, failed=f"the driver can't reach it: {error}", processes=(), readings={}) for device in known]

    def _device(self, handle: Any, uuid: str, index: int) -> Device:
        memory = self._memory(handle)
        processes = self._processes(handle)
        return Device(
            uuid=uuid,
            index=index,
            model=short_name(self._api.nvmlDeviceGetName(handle), memory.total),
            memory_mib=memory.total,
            sharing=self._sharing,
            used_mib=memory.used,
            reserved_mib=_reserved(memory, processes),
            failed=self._faults.why(uuid),
            processes=processes,
            readings=readings(self._api, handle),
        )

    def _instances(self, handle: Any, gpu: Device) -> list[Device] | None:
        """The MIG instances of a GPU, None when it isn't in MIG mode. What fails here is raised: an instance left out costs its leases."""
        api = self._api
        try:
            mode, _ = api.nvmlDeviceGetMigMode(handle)
        except (api.NVMLError_NotSupported, api.NVMLError_FunctionNotFound):
            return None
        if mode != api.NVML_DEVICE_MIG_ENABLE:
            return None
        found = []
        for place in range(api.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(api.NVMLError_NotFound):
                found.append(self._instance(api.nvmlDeviceGetMigDeviceHandleByIndex(handle, place), gpu))
        return found

    def _instance(self, handle: Any, gpu: Device) -> Device:
        memory = self._memory(handle)
        processes = self._processes(handle)
        return Device(
            uuid=self._api.nvmlDeviceGetUUID(handle),
            index=gpu.index,
            model=gpu.model,
            memory_mib=memory.total,
            mig=self._profile(handle, memory.total),
            parent=gpu.uuid,
            used_mib=memory.used,
            reserved_mib=_reserved(memory, processes),
            failed=gpu.failed,
            processes=processes,
            readings={name: value for name, value in gpu.readings.items() if name != "utilisation_pct"},  # not told for one instance
        )

    def _profile(self, handle: Any, memory_mib: int) -> str:
        match = PROFILE.search(self._try(lambda: self._api.nvmlDeviceGetName(handle)) or "")
        if match:
            return match[1].lower()
        slices = self._api.nvmlDeviceGetAttributes(handle).gpuInstanceSliceCount
        return f"{slices}g.{math.ceil(memory_mib / 1024)}gb"

    def _memory(self, handle: Any) -> _Memory:
        told = self._try(lambda: self._api.nvmlDeviceGetMemoryInfo(handle, version=self._api.nvmlMemory_v2))
        if told is not None:
            return _Memory(told.total // MIB, _up(told.used + told.reserved), _up(told.reserved), DRIVER_MIB)
        old = self._api.nvmlDeviceGetMemoryInfo(handle)
        return _Memory(old.total // MIB, _up(old.used), 0, OLD_DRIVER_MIB)

    def _processes(self, handle: Any) -> tuple[Process, ...]:
        """Each process once, with the larger figure where it computes and draws."""
        held: dict[int, int] = {}
        for listing in (self._api.nvmlDeviceGetComputeRunningProcesses, self._api.nvmlDeviceGetGraphicsRunningProcesses):
            for entry in self._try(lambda listing=listing: listing(handle)) or ():  # type: ignore[misc]
                held[entry.pid] = max(held.get(entry.pid, 0), _up(entry.usedGpuMemory or 0))
        return tuple(process(pid, memory_mib) for pid, memory_mib in sorted(held.items()))

    def _try(self, ask: Callable[[], T]) -> T | None:
        """None for what this GPU or driver doesn't tell. A GPU that is lost is no such thing: that is raised."""
        try:
            return ask()
        except self._api.NVMLError_GpuIsLost:
            raise
        except self._api.NVMLError:
            return None


def _pynvml() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package says that it has a new name; NVIDIA's module in it is the same
        import pynvml
    return pynvml


def _reserved(memory: _Memory, processes: Sequence[Process]) -> int:
    unlisted = memory.used - memory.reserved - sum(process.memory_mib for process in processes)
    return memory.reserved + min(max(unlisted, 0), memory.driver)


def _up(count: int) -> int:
    return -(-count // MIB)
