"""What every inventory adapter offers, and how its answer travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from include.pool.state import Device, NodeReport


class Inventory(Protocol):
    """A source of nodes. ``source`` is nvml, kubernetes or declared; ``cluster`` says that it sees other nodes than the reporter's."""

    source: str
    cluster: bool

    def read(self) -> list[NodeReport]:
        """Every node as it is now. Raises UpdraftError when nothing can be said at all; a single unreadable figure is left out."""
        ...


def to_json(report: NodeReport, prefix: str = "") -> dict[str, Any]:
    """A node as the pool's API takes it; ``prefix`` goes before its name. What is empty is left out: a cluster's report stays small."""
    return {"name": prefix + report.name, "labels": dict(report.labels), "devices": [_device(device) for device in report.devices]}


def _device(device: Device) -> dict[str, Any]:
    processes = [asdict(process) for process in device.processes]
    fields = asdict(device) | {"processes": processes, "readings": _readings(device.readings)}
    always = ("uuid", "index", "model", "memory_mib")
    return {name: value for name, value in fields.items() if value or name in always}


def _readings(readings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in readings.items()}
