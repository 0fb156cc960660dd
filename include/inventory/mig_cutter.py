"""Cuts a GPU of this machine anew into MIG instances, by ``nvidia-smi mig`` (NVIDIA's MIG user guide, "Creating GPU instances"), as root.

Never run on a real card in MIG mode by this project's tests: they hold the command lines. See docs/limits.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

from include.errors import ComponentError
from include.pool.state import Device, GpuCut

LONGEST_S = 60.0
SMI = "nvidia-smi"
Run = Callable[[Sequence[str]], None]


def commands(cut: GpuCut, devices: Sequence[Device], instance_ids: Mapping[str, int]) -> list[list[str]]:
    """Return the command lines that bring the GPU from ``devices`` (as last read) to what the cut wants; none where it is done already.

    ``instance_ids`` are the driver's ids of GPU instances, by uuid of the MIG device. Raises ComponentError when an instance that should go
    is in use, or its id isn't known: then nothing at all is done.
    """
    there = {device.uuid: device for device in devices if device.parent == cut.parent}
    going = [there[uuid] for uuid in cut.destroy if uuid in there]
    for device in going:
        if device.processes or "processes" in device.unknown:
            raise ComponentError("is in use, or may be: it is not destroyed.", where=f"MIG instance {device.uuid}")
        if device.uuid not in instance_ids:
            raise ComponentError(
                "the driver doesn't tell its GPU instance.", where=f"MIG instance {device.uuid}", remedy="Run the agent as root."
            )
    left = {(device.mig, device.first_slice) for device in there.values() if device not in going}
    made = [f"{profile}:{first - 1}" for profile, first in cut.create if (profile, first) not in left]
    found = []
    for device in going:
        number = str(instance_ids[device.uuid])
        found += [[SMI, "mig", "-dci", "-i", cut.parent, "-gi", number], [SMI, "mig", "-dgi", "-i", cut.parent, "-gi", number]]
    return [*found, *([[SMI, "mig", "-cgi", ",".join(made), "-C", "-i", cut.parent]] if made else [])]


def run(command: Sequence[str]) -> None:
    """Raises ComponentError with what nvidia-smi says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComponentError(f"did not run ({type(error).__name__}).", where=" ".join(command)) from None
    if done.returncode:
        raise ComponentError(
            f"says: {(done.stderr or done.stdout).strip()[:300]}", where=" ".join(command), remedy="Run the agent as root."
        )
