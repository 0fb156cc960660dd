"""What a GPU tells of itself for people: name → figure, the unit in the name. What it doesn't tell is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def readings(api: Any, handle: Any) -> dict[str, float]:
    """``api`` is pynvml. Raises its NVMLError_GpuIsLost alone."""
    ask: dict[str, Callable[[], float]] = {
        "utilisation_pct": lambda: api.nvmlDeviceGetUtilizationRates(handle).gpu,
        "temperature_c": lambda: _temperature(api, handle),
        "power_w": lambda: api.nvmlDeviceGetPowerUsage(handle) / 1000,
        "power_limit_w": lambda: api.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "sm_clock_mhz": lambda: api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_MEM),
        "ecc_errors": lambda: api.nvmlDeviceGetTotalEccErrors(handle, api.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, api.NVML_VOLATILE_ECC),
    }
    found = {}
    for name, question in ask.items():
        try:
            found[name] = float(question())
        except api.NVMLError_GpuIsLost:
            raise
        except api.NVMLError:
            continue
    return found


def _temperature(api: Any, handle: Any) -> float:
    """By the versioned call; drivers before 570 know only the older one."""
    try:
        return float(api.nvmlDeviceGetTemperatureV(handle, api.NVML_TEMPERATURE_GPU))
    except api.NVMLError_GpuIsLost:
        raise
    except api.NVMLError:
        return float(api.nvmlDeviceGetTemperature(handle, api.NVML_TEMPERATURE_GPU))
