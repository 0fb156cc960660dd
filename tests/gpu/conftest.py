"""A real GPU, what NVML says of it, and the record of what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.inventory.choose import gpus_here
from include.inventory.nvml import Nvml
from include.pool.state import Device
from include.runtime.settings import REPO
from tests.include.steps.conftest import llm, mlflow, mlflow_url, quantise

__all__ = ["llm", "mlflow", "mlflow_url", "quantise"]
RECORD = "UPDRAFT_GPU_RECORD"
"""Where `make test-gpu` wants the record."""
LEASE = "1ea5e0f9"
MIB = 2**20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and not gpus_here():
        for item in here:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here: `make test-gpu` on a machine with one"))


@dataclass
class Record:
    """What was compared, as a table for docs/."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def row(self, what: str, expected_mib: float, measured_mib: float) -> None:
        difference = measured_mib - expected_mib
        share = f"{difference / expected_mib * 100:+.2f} %" if expected_mib else ""
        self.rows.append((what, f"{expected_mib:,.0f}", f"{measured_mib:,.0f}", f"{difference:+,.0f} ({share})"))

    def text(self, device: Device, driver: str) -> str:
        lines = [
            "# Measured on a real GPU",
            "",
            f"By `make test-gpu`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {device.model} ({device.memory_mib:,} MiB), driver {driver}.",
            "Allocations by the CUDA driver (`cuMemAlloc`), and steps of the lifecycle with a model of random weights; figures in MiB.",
            "",
            "| what | expected | measured | difference |",
            "| --- | ---: | ---: | ---: |",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def nvml() -> Iterator[Nvml]:
    nvml = Nvml("here")
    yield nvml
    nvml.close()


@pytest.fixture(scope="session")
def uuid(nvml: Nvml) -> str:
    """A whole GPU; the one with the most free memory."""
    whole = [device for node in nvml.read() for device in node.devices if not device.mig and not device.failed]
    if not whole:
        pytest.skip("every GPU here is in MIG mode or failed")
    return max(whole, key=lambda device: device.memory_mib - device.used_mib).uuid


@pytest.fixture(scope="session")
def look(nvml: Nvml, uuid: str) -> Callable[[], Device]:
    """Reads the device anew."""
    return lambda: next(device for node in nvml.read() for device in node.devices if device.uuid == uuid)


@pytest.fixture(scope="session")
def record(look: Callable[[], Device]) -> Iterator[Record]:
    import pynvml

    record = Record()
    yield record
    if record.rows and os.environ.get(RECORD):
        Path(os.environ[RECORD]).write_text(record.text(look(), str(pynvml.nvmlSystemGetDriverVersion())))


class Holder:
    """The process that holds memory on the GPU; ``context`` is what CUDA told it when it began."""

    def __init__(self, uuid: str, lease: str) -> None:
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": uuid, "UPDRAFT_GPU_LEASE": lease, "PYTHONPATH": str(REPO)}
        command = [sys.executable, "-m", "tests.gpu.holder"]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.context = self._answer()

    def allocate(self, *sizes: float) -> dict[str, int]:
        """So many bytes each, in allocations of their own. What CUDA says then: free and total, bytes."""
        assert self.process.stdin
        self.process.stdin.write(" ".join(str(int(size)) for size in sizes) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.communicate(timeout=60)

    def _answer(self) -> dict[str, int]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the holder ended with {self.process.wait(10)}"
        return dict(json.loads(line))


@pytest.fixture
def hold(uuid: str) -> Iterator[Callable[..., Holder]]:
    """Starts a holder, with a lease's id or ("") none."""
    started: list[Holder] = []

    def start(lease: str = LEASE) -> Holder:
        started.append(Holder(uuid, lease))
        return started[-1]

    yield start
    for holder in started:
        holder.close()


def settled(look: Callable[[], Device], expected_mib: float, within_mib: float, timeout_s: float = 10) -> float:
    """The device's used memory, once it is within ``within_mib`` of what is expected or time is over (the driver tells it with a delay)."""
    deadline = time.monotonic() + timeout_s
    while abs((used := look().used_mib) - expected_mib) > within_mib and time.monotonic() < deadline:
        time.sleep(0.05)
    return used
