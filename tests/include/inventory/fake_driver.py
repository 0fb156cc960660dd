"""A libnvidia-ml that is none: what pynvml calls, answered from plain objects. No GPU is needed, and all of pynvml itself runs.

pynvml passes the structures it declares; they are filled here as NVIDIA's driver fills them (NVML API reference).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import pynvml

MIB = 2**20


@dataclass
class Gpu:
    """``errors``: function name (without ``nvmlDeviceGet``) → NVML's error code, for what this GPU doesn't answer."""

    uuid: str = "GPU-1"
    name: str = "NVIDIA H100 80GB HBM3"
    total: int = 81559
    reserved: int = 551
    used: int = 4
    """MiB, as version 2 of the call tells it: without what is reserved."""
    utilisation: int = 37
    temperature: int = 41
    power_mw: int = 118_500
    limit_mw: int = 700_000
    clocks: dict[int, int] = field(default_factory=lambda: {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619})
    ecc: int = 0
    compute: list[tuple[int, int]] = field(default_factory=list)
    graphics: list[tuple[int, int]] = field(default_factory=list)
    """(process id, MiB)"""
    mig: list[Gpu] | None = None
    slices: int = 0
    instance: tuple[int, int] | None = None
    """Of a MIG device: its GPU instance's id and the first memory slice of its place; None: the driver doesn't tell."""
    bus: str = "00000000:01:00.0"
    linked: set[str] = field(default_factory=set)
    """UUIDs of the GPUs that it reaches over NVLink."""
    capability: tuple[int, int] = (9, 0)
    announces: bool = True
    lost: bool = False
    errors: dict[str, int] = field(default_factory=dict)


class Driver:
    """The functions of libnvidia-ml by their exported names."""

    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = list(gpus)
        self.loaded = True
        self.old = False
        """A driver that lacks the calls that came later."""
        self.events: list[tuple[Gpu, int]] = []
        self.listening: set[str] = set()
        self._handles: dict[int, Gpu] = {}

    def __getattr__(self, name: str):
        if name.startswith("nvmlDeviceGet"):
            return lambda handle, *rest: self._device(name.removeprefix("nvmlDeviceGet"), handle, *rest)
        raise AttributeError(name)  # pynvml: "function not found"

    # the driver

    def nvmlInitWithFlags(self, flags):
        return pynvml.NVML_SUCCESS if self.loaded else pynvml.NVML_ERROR_DRIVER_NOT_LOADED

    def nvmlShutdown(self):
        return pynvml.NVML_SUCCESS

    def nvmlErrorString(self, code):
        return f"error {code}".encode()

    def nvmlDeviceGetCount_v2(self, count):
        if not self.loaded:
            return pynvml.NVML_ERROR_DRIVER_NOT_LOADED
        count._obj.value = len(self.gpus)
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        if index.value >= len(self.gpus):
            return pynvml.NVML_ERROR_INVALID_ARGUMENT
        return self._hand(self.gpus[index.value], handle)

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        wanted = uuid.value.decode()
        every = [one for gpu in self.gpus for one in (gpu, *(gpu.mig or ()))]
        found = next((gpu for gpu in every if gpu.uuid == wanted), None)
        return self._hand(found, handle) if found else pynvml.NVML_ERROR_NOT_FOUND

    def nvmlEventSetCreate(self, events):
        return pynvml.NVML_SUCCESS

    def nvmlEventSetFree(self, events):
        self.listening.clear()
        return pynvml.NVML_SUCCESS

    def nvmlDeviceRegisterEvents(self, handle, kinds, events):
        assert kinds.value == pynvml.nvmlEventTypeXidCriticalError
        self.listening.add(self._of(handle).uuid)
        return pynvml.NVML_SUCCESS

    def nvmlEventSetWait_v2(self, events, data, timeout_ms):
        while self.events:
            gpu, xid = self.events.pop(0)
            if gpu.uuid in self.listening:
                data._obj.eventType, data._obj.eventData = pynvml.nvmlEventTypeXidCriticalError, xid
                data._obj.device = self._pointer(gpu)
                return pynvml.NVML_SUCCESS
        return pynvml.NVML_ERROR_TIMEOUT

    # its devices

    def _device(self, what: str, handle, *rest):
        gpu = self._of(handle)
        if gpu.lost:
            return pynvml.NVML_ERROR_GPU_IS_LOST
        if what in gpu.errors:
            return gpu.errors[what]
        answer = getattr(self, f"_{what}", None)
        if answer is None or (self.old and what in ("MemoryInfo_v2", "TemperatureV")):
            return pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
        return answer(gpu, *rest) or pynvml.NVML_SUCCESS

    def _Name(self, gpu, buffer, length):
        buffer.value = gpu.name.encode()

    def _CudaComputeCapability(self, gpu, major, minor):
        major._obj.value, minor._obj.value = gpu.capability

    def _DeviceHandleFromMigDeviceHandle(self, gpu, handle):
        return self._hand(next(one for one in self.gpus if gpu in (one.mig or ())), handle)

    def _UUID(self, gpu, buffer, length):
        buffer.value = gpu.uuid.encode()

    def _MemoryInfo_v2(self, gpu, memory):
        info = memory._obj
        assert info.version == pynvml.nvmlMemory_v2
        info.total, info.reserved, info.used = gpu.total * MIB, gpu.reserved * MIB, gpu.used * MIB
        info.free = info.total - info.reserved - info.used

    def _MemoryInfo(self, gpu, memory):
        info = memory._obj
        info.total, info.used = gpu.total * MIB, (gpu.used + gpu.reserved) * MIB
        info.free = info.total - info.used

    def _UtilizationRates(self, gpu, rates):
        rates._obj.gpu = gpu.utilisation

    def _TemperatureV(self, gpu, temperature):
        temperature._obj.temperature = gpu.temperature

    def _Temperature(self, gpu, sensor, temperature):
        temperature._obj.value = gpu.temperature

    def _PowerUsage(self, gpu, power):
        power._obj.value = gpu.power_mw

    def _EnforcedPowerLimit(self, gpu, power):
        power._obj.value = gpu.limit_mw

    def _ClockInfo(self, gpu, kind, clock):
        clock._obj.value = gpu.clocks[kind.value]

    def _TotalEccErrors(self, gpu, kind, counter, count):
        assert (kind.value, counter.value) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        count._obj.value = gpu.ecc

    def _ComputeRunningProcesses_v3(self, gpu, count, entries):
        return self._processes(gpu.compute, count, entries)

    def _GraphicsRunningProcesses_v3(self, gpu, count, entries):
        return self._processes(gpu.graphics, count, entries)

    def _processes(self, held, count, entries):
        room, count._obj.value = count._obj.value, len(held)
        if room < len(held):
            return pynvml.NVML_ERROR_INSUFFICIENT_SIZE
        for entry, (pid, memory) in zip(entries or (), held, strict=False):
            entry.pid, entry.usedGpuMemory = pid, memory * MIB if memory is not None else pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
        return pynvml.NVML_SUCCESS

    def _PciInfo_v3(self, gpu, info):
        info._obj.busId = gpu.bus.encode()

    def _P2PStatus(self, gpu, other, index, status):
        assert index == pynvml.NVML_P2P_CAPS_INDEX_NVLINK
        linked = self._of(other).uuid in gpu.linked
        status._obj.value = pynvml.NVML_P2P_STATUS_OK if linked else pynvml.NVML_P2P_STATUS_NOT_SUPPORTED

    def _SupportedEventTypes(self, gpu, kinds):
        kinds._obj.value = pynvml.nvmlEventTypeXidCriticalError if gpu.announces else 0

    def _MigMode(self, gpu, current, pending):
        if gpu.name.startswith("Tesla"):
            return pynvml.NVML_ERROR_NOT_SUPPORTED
        current._obj.value = pending._obj.value = int(gpu.mig is not None)
        return pynvml.NVML_SUCCESS

    def _MaxMigDeviceCount(self, gpu, count):
        count._obj.value = 7

    def _MigDeviceHandleByIndex(self, gpu, index, handle):
        if index.value >= len(gpu.mig):
            return pynvml.NVML_ERROR_NOT_FOUND
        return self._hand(gpu.mig[index.value], handle)

    def _GpuInstanceId(self, gpu, number):
        if gpu.instance is None:
            return pynvml.NVML_ERROR_NO_PERMISSION
        number._obj.value = gpu.instance[0]
        return pynvml.NVML_SUCCESS

    def _GpuInstanceById(self, gpu, number, instance):
        found = next(one for one in gpu.mig if one.instance and one.instance[0] == number)
        self._handles[id(found)] = found
        instance._obj.contents = ctypes.cast(id(found), pynvml.c_nvmlGpuInstance_t).contents
        return pynvml.NVML_SUCCESS

    def nvmlGpuInstanceGetInfo(self, instance, info):
        found = self._of(instance)
        info._obj.id, info._obj.placement.start = found.instance
        return pynvml.NVML_SUCCESS

    def _Attributes_v2(self, gpu, attributes):
        attributes._obj.gpuInstanceSliceCount = gpu.slices

    def _hand(self, gpu, handle):
        handle._obj.contents = self._pointer(gpu).contents
        return pynvml.NVML_SUCCESS

    def _pointer(self, gpu):
        """A handle is an address; nothing ever looks at what is there."""
        self._handles[id(gpu)] = gpu
        return ctypes.cast(id(gpu), pynvml.c_nvmlDevice_t)

    def _of(self, handle) -> Gpu:
        return self._handles[ctypes.cast(handle, ctypes.c_void_p).value]
