"""What every inventory adapter offers, and how its answer travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol, runtime_checkable

from include.pool.state import Device, GpuCut, NodeReport, Process

ALWAYS = ("uuid", "index", "model", "memory_mib")


class Inventory(Protocol):
    """A source of nodes. ``source`` is nvml, kubernetes, burst or declared; ``cluster`` says that it sees other nodes than the
    reporter's."""

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


@runtime_checkable
class Hiring(Protocol):
    """An inventory with machines that are taken by the hour, booted and given back."""

    def want(self, node: str, up: bool) -> None:
        """See to it that the machine boots, or ends; saying so again is fine. Raises UpdraftError for a node that isn't one."""
        ...


def cut_of(entry: Mapping[str, Any]) -> GpuCut:
    """What the pool's answer to a report asks for. Raises KeyError, TypeError or ValueError for anything else."""
    create = tuple((str(profile), int(first)) for profile, first in entry["create"])
    return GpuCut(str(entry["parent"]), tuple(map(str, entry["destroy"])), create, "", 0.0)


def to_json(report: NodeReport, prefix: str = "") -> dict[str, Any]:
    """A node as the pool's API takes it; ``prefix`` goes before its name. What is empty is left out: a cluster's report stays small."""
    node: dict[str, Any] = {"name": prefix + report.name, "labels": dict(report.labels)}
    node["devices"] = [_device(device) for device in report.devices]
    return node if report.burst is None else node | {"burst": asdict(report.burst) | {"state": report.burst.state.value}}


def device_of(fields: Mapping[str, Any]) -> Device:
    """Return the device that these fields say, as JSON has them. Raises TypeError or AttributeError for anything else."""
    processes = tuple(Process(**process) for process in fields.get("processes", ()))
    return Device(**{**fields, "unknown": tuple(fields.get("unknown", ())), "processes": processes})


def device_json(device: Device) -> dict[str, Any]:
    """Return the device as JSON has it, without what is empty or not known; :func:`device_of` is its inverse."""
    fields = vars(device) | {"processes": [dict(vars(process)) for process in device.processes], "readings": dict(device.readings)}
    return {name: value for name, value in fields.items() if name in ALWAYS or (value != -1 if name == "numa" else value)}


def _device(device: Device) -> dict[str, Any]:
    return device_json(replace(device, readings=_readings(device.readings)))


def _readings(readings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in readings.items()}
