"""What every inventory adapter offers, and how its answer travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

from include.pool.state import Device, GpuCut, NodeReport


class Inventory(Protocol):
    """A source of nodes. ``source`` is nvml, kubernetes or declared; ``cluster`` says that it sees other nodes than the reporter's."""

    source: str
    cluster: bool

    def read(self) -> list[NodeReport]:
        """Every node as it is now. Raises UpdraftError when nothing can be said at all; a single unreadable figure is left out."""
        ...


@runtime_checkable
class Recuttable(Protocol):
    """An inventory whose GPUs can be cut anew into MIG instances."""

    def cut(self, node: str, cut: GpuCut) -> None:
        """Do it, or what is left of it to do; the next reading shows it. Raises UpdraftError: then the pool waits, and gives it up."""
        ...


def cut_of(entry: Mapping[str, Any]) -> GpuCut:
    """What the pool's answer to a report asks for. Raises KeyError, TypeError or ValueError for anything else."""
    create = tuple((str(profile), int(first)) for profile, first in entry["create"])
    return GpuCut(str(entry["parent"]), tuple(map(str, entry["destroy"])), create, "", 0.0)


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
