"""Which adapter reads the GPUs here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from include.errors import InputError, UpdraftError
from include.inventory.declared import Declared
from include.inventory.report import Inventory

SOURCES = ("auto", "nvml", "kubernetes", "burst", "declared")
SIMULATED = Path(__file__).parent / "simulated.yaml"
NVIDIA = "0x10de"
"""Its PCI vendor id."""
DISPLAY = ("0x0300", "0x0302")
"""PCI classes of VGA and 3D controllers."""
NAMES = {"nvml": "local", "kubernetes": "kubernetes", "burst": "burst", "declared": "simulated"}
"""The reporter's name, by source, when nobody gives one."""


@dataclass(frozen=True)
class Wish:
    """What a person said. ``file`` is the declared inventory, or that of machines that are taken by the hour; ``sharing`` what NVML's GPUs
    may be shared by ("" for whole GPUs only); ``facts`` the namespace in which a cluster's nodes keep theirs ("": none do); ``recut``
    whether NVML's GPUs may be cut anew by MIG."""

    source: str = "auto"
    file: Path = SIMULATED
    reporter: str = ""
    sharing: str = ""
    facts: str = ""
    recut: bool = False


def choose(wish: Wish) -> tuple[Inventory, str]:
    """The adapter and the reporter's name. ``auto`` is NVML where this machine has a GPU of NVIDIA's, its driver well or not, else the
    declared file: nothing is simulated beside a real GPU.

    Raises InputError for an unknown source, a bad file, or a source that is not to be had here.
    """
    if wish.source not in SOURCES:
        raise InputError(f"{wish.source!r:.60} is no source.", where="--source", remedy=f"Give one of {', '.join(SOURCES)}.")
    source = wish.source
    if source == "auto":
        source = "nvml" if gpu_here() else "declared"
    reporter = wish.reporter or NAMES[source]
    if source == "nvml":
        from include.inventory.nvml import Nvml

        return Nvml(reporter, sharing=wish.sharing, recut=wish.recut), reporter
    if source == "kubernetes":
        from include.inventory.kubernetes import Kubernetes

        return Kubernetes(wish.facts), reporter
    if source == "burst":
        from include.inventory.burst_hooks import BurstHooks

        return BurstHooks(wish.file), reporter
    return Declared(wish.file, reporter), reporter


def gpu_here(root: Path = Path("/")) -> bool:
    """Whether this machine has a GPU of NVIDIA's: by its driver, or by what the kernel lists below ``root`` where the driver doesn't work
    (a PCI display or 3D controller of NVIDIA's, the driver's own list, Jetson's device)."""
    for device in (root / "sys/bus/pci/devices").glob("*"):
        if _read(device / "vendor") == NVIDIA and _read(device / "class").startswith(DISPLAY):
            return True
    listed = any((root / "proc/driver/nvidia/gpus").glob("*")) or (root / "dev/nvmap").exists()
    return listed or (root == Path("/") and gpus_here() > 0)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def gpus_here() -> int:
    """How many GPUs, or MIG instances, the driver of this machine shows; 0 without a driver."""
    from include.inventory.nvml import Nvml

    nvml = Nvml("here")
    try:
        return sum(len(node.devices) for node in nvml.read())
    except UpdraftError:
        return 0
    finally:
        nvml.close()
