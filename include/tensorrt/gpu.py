"""What a plan is bound to: the GPU that this process may use, as NVIDIA's driver tells it, and the version of TensorRT."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.pool.grants import DEVICES, LEASE


@dataclass(frozen=True)
class Gpu:
    """``name`` as the driver gives it (a MIG instance has its profile in it); ``capability`` is CUDA's compute capability."""

    name: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


def visible(environment: Mapping[str, str] | None = None, api: Any = None) -> Gpu | None:
    """The first GPU that a process of this environment (this one's own) may use; None when there is none, or no driver.

    ``api`` is the pynvml module. Without ``CUDA_VISIBLE_DEVICES`` it is the machine's first: a container sees its own only.
    """
    named = (os.environ if environment is None else environment).get(DEVICES[0])
    device = None if named is None else named.split(",")[0].strip()
    if device == "":
        return None
    try:
        pynvml = api or importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return _read(pynvml, _handle(pynvml, device))
    except pynvml.NVMLError:
        return None  # a declared GPU, or one that is gone
    finally:
        pynvml.nvmlShutdown()


def leased(environment: Mapping[str, str] | None = None) -> Gpu | None:
    """The same, for those who hold a lease: None without one, whatever GPUs the machine has. They are others'."""
    return visible(environment) if (os.environ if environment is None else environment).get(LEASE) else None


def _handle(pynvml: Any, device: str | None) -> Any:
    if device is None or device.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(device or 0))
    return pynvml.nvmlDeviceGetHandleByUUID(device)


def _read(pynvml: Any, handle: Any) -> Gpu:
    name = pynvml.nvmlDeviceGetName(handle)
    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    except pynvml.NVMLError:  # of a MIG instance: its GPU's
        parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(parent)
    return Gpu(name if isinstance(name, str) else name.decode(), (int(major), int(minor)))
