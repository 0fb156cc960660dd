"""Which adapter reads the GPUs here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from include.errors import InputError, UpdraftError
from include.inventory.declared import Declared
from include.inventory.report import Inventory

SOURCES = ("auto", "nvml", "kubernetes", "declared")
SIMULATED = Path(__file__).parent / "simulated.yaml"
NAMES = {"nvml": "local", "kubernetes": "kubernetes", "declared": "simulated"}
"""The reporter's name, by source, when nobody gives one."""


@dataclass(frozen=True)
class Wish:
    """What a person said. ``file`` is the declared inventory; ``sharing`` what NVML's GPUs may be shared by ("" for whole GPUs only);
    ``facts`` the namespace in which a cluster's nodes keep theirs ("": none do)."""

    source: str = "auto"
    file: Path = SIMULATED
    reporter: str = ""
    sharing: str = ""
    facts: str = ""


def choose(wish: Wish) -> tuple[Inventory, str]:
    """The adapter and the reporter's name. ``auto`` is NVML where a driver shows at least one GPU, else the declared file.

    Raises InputError for an unknown source, a bad file, or a source that is not to be had here.
    """
    if wish.source not in SOURCES:
        raise InputError(f"{wish.source!r:.60} is no source.", where="--source", remedy=f"Give one of {', '.join(SOURCES)}.")
    source = wish.source
    if source == "auto":
        source = "nvml" if gpus_here() else "declared"
    reporter = wish.reporter or NAMES[source]
    if source == "nvml":
        from include.inventory.nvml import Nvml

        return Nvml(reporter, sharing=wish.sharing), reporter
    if source == "kubernetes":
        from include.inventory.kubernetes import Kubernetes

        return Kubernetes(wish.facts), reporter
    return Declared(wish.file, reporter), reporter


def gpus_here() -> int:
    """How many GPUs the driver of this machine shows; 0 without a driver."""
    from include.inventory.nvml import Nvml

    nvml = Nvml("here")
    try:
        return sum(len(node.devices) for node in nvml.read())
    except UpdraftError:
        return 0
    finally:
        nvml.close()
