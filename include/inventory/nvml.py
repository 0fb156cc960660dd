"""The GPUs of this machine, as NVIDIA's driver tells them through NVML (package pynvml; field meanings: NVML API reference).

A GPU is known by its UUID: its index is another's after a driver was reloaded with one GPU gone.
"""

from __future__ import annotations

import contextlib
import socket
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from include.errors import ComponentError
from include.inventory import mig_cutter
from include.inventory.nvml_device import DeviceReader, unread
from include.inventory.nvml_faults import Faults
from include.inventory.nvml_topology import Topology
from include.pool.state import HOST_LABEL, RECUT_LABEL, Device, GpuCut, NodeReport

PATIENCE = 3
UNLISTED = "the driver no longer lists it"


class Nvml:
    """One node, ``name``, with its GPUs; a GPU in MIG mode is replaced by its instances.

    ``sharing`` is what the machine's owner declares acceptable for shares ("", time-slice, mps). A GPU that the driver has lost, or
    on which a critical Xid error was seen, is reported as failed; so is one that can't be read. ``api`` is the pynvml module.
    """

    source = "nvml"
    cluster = False

    def __init__(self, name: str, *, sharing: str = "", recut: bool = False, api: Any = None, run: mig_cutter.Run = mig_cutter.run) -> None:
        """``recut``: its owner lets the pool cut GPUs in MIG mode anew, which ``run`` does."""
        self._name, self._api = name, api or _pynvml()
        self._labels, self._run = {RECUT_LABEL: "true"} if recut else {}, run
        self._open = False
        self._faults = Faults(self._api)
        self._reader = DeviceReader(self._api, sharing)
        self._topology = Topology(self._api)
        self._handles: dict[str, Any] = {}
        self._known: dict[str, list[Device]] = {}
        """By UUID: what a GPU, or its instances, were when they could last be read, for the day when they can't."""

        self._order: list[str] = []
        """UUIDs by index, as last read."""
        self._failures: dict[str, int] = {}
        """By UUID: readings in a row that have failed."""
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
        self._handles = {}
        found: dict[str, list[Device]] = {}
        nameless: list[tuple[int, Exception]] = []
        for index in range(count):
            try:
                uuid, devices = self._gpu(index)
                found[uuid] = devices
            except self._api.NVMLError as error:
                nameless.append((index, error))
        for index, why in nameless:
            uuid = self._at(index, count, found)
            found[uuid] = self._unread(uuid, index, why)
        for uuid in [uuid for uuid in self._known if uuid not in found]:
            found[uuid] = self._unread(uuid, count, None)
        self._order = list(found)[:count] if not nameless else self._order
        devices = [self._located(device) for uuid in self._places(found) for device in found[uuid]]
        numbered = (replace(device, index=place) for place, device in enumerate(devices))
        return [NodeReport(self._name, {HOST_LABEL: socket.gethostname(), **self._labels}, tuple(numbered))]

    def _located(self, device: Device) -> Device:
        """With its island and NUMA node. Of a GPU that can't be reached now, or is cut, nothing is known of either."""
        handle = self._handles.get(device.uuid)
        if handle is None or device.mig:
            return device
        island = self._topology.islands(self._handles).get(device.uuid, "")
        return replace(device, island=island, numa=self._topology.numa(device.uuid, handle))

    def cut(self, node: str, cut: GpuCut) -> None:
        """Cut one GPU anew. What is in use is looked at once more; the driver itself refuses to destroy an instance in use."""
        if not self._labels:
            raise ComponentError("may not be cut anew.", where=f"GPU {cut.parent}", remedy="Start the agent with --recut.")
        (report,) = self.read()
        for command in mig_cutter.commands(cut, report.devices, self._reader.instance_ids):
            self._run(command)

    def close(self) -> None:
        """Let go of the driver; the next reading takes hold of it again."""
        self._faults.forget()
        if self._open:
            self._open = False
            with contextlib.suppress(self._api.NVMLError):
                self._api.nvmlShutdown()

    def _gpu(self, index: int) -> tuple[str, list[Device]]:
        """Raises NVMLError when not even its UUID can be read."""
        handle = self._api.nvmlDeviceGetHandleByIndex(index)
        uuid = self._api.nvmlDeviceGetUUID(handle)
        self._handles[uuid] = handle
        try:
            self._faults.watch(uuid, handle)
            devices = self._reader.read(handle, uuid, index, self._faults.why(uuid))
        except self._api.NVMLError as error:
            return uuid, self._unread(uuid, index, error)
        self._failures.pop(uuid, None)
        self._known[uuid] = devices
        return uuid, devices

    def _at(self, index: int, count: int, found: dict[str, list[Device]]) -> str:
        """Whose GPU it is that tells no UUID: the one that was at that index, unless the driver counts anew; else a name for the place."""
        if len(self._order) == count and self._order[index] not in found:
            return self._order[index]
        missing = [uuid for uuid in self._order if uuid not in found]
        return missing[0] if len(missing) == 1 else f"{self._name}/gpu-{index}"

    def _unread(self, uuid: str, index: int, error: Exception | None) -> list[Device]:
        """As last known; failed if it is lost, or can't be read for PATIENCE readings: a failed device costs its leases."""
        self._failures[uuid] = self._failures.get(uuid, 0) + 1
        why = UNLISTED if error is None else f"the driver can't reach it: {error}"
        known = self._known.get(uuid)
        if known is None:
            return [unread(uuid, index, why)]
        if not isinstance(error, self._gone) and self._failures[uuid] < PATIENCE:
            return known
        return [replace(device, failed=why, processes=(), readings={}) for device in known]

    def _places(self, found: dict[str, list[Device]]) -> Sequence[str]:
        """The driver's order; those that it doesn't list come last."""
        return [*(uuid for uuid in self._order if uuid in found), *(uuid for uuid in found if uuid not in self._order)]


def _pynvml() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package says that it has a new name; NVIDIA's module in it is the same
        import pynvml
    return pynvml
