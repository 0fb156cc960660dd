"""What a step on this machine may reach: its own folder, what it was given, MLflow's door."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from include.runtime.sandbox import policy as policies
from include.runtime.sandbox import users
from include.runtime.sandbox.policy import Policy, platform_ports
from include.runtime.sandbox.ports import Ports
from include.runtime.settings import Settings
from include.steps.context import StepRequest

if TYPE_CHECKING:
    from include.targets.target import Step

GIVES_WAY = 10
"""Of steps, beside servers: who asks a model waits for nobody's training. A Python model of Triton's that gets no processor for a second is
taken for dead, and its callers get errors."""


def of_step(settings: Settings, step: Step, request: StepRequest, checkpoints: Path, environment: Path) -> Policy:
    """The policy of one step, which runs in the ``environment`` in that folder."""
    folder, code = policies.code(settings)
    for kept in request.keeps:
        Path(kept).mkdir(parents=True, exist_ok=True)
    given = [whole(settings, Path(value)) for value in request.inputs.values() if value.startswith("/")]
    read = [environment, settings.runtimes, settings.runtimes.parent / "tools", Path(request.folder), *given, *map(Path, request.reads)]
    return Policy(
        name=step.name,
        reads=(*code, *policies.interpreters(settings), *policies.existing(read)),
        writes=(str(step.out), str(step.folder / "tmp"), str(checkpoints), *request.keeps),
        shared=(str(step.folder),),
        connect=(settings.mlflow_door_port, *ports(request.network)),
        closed=platform_ports(settings),
        hidden=(str(settings.home),),
        users=str(settings.home / users.COUNTER),
        folder=str(folder),
        nice=GIVES_WAY,
    )


def tcp_of(request: StepRequest, mlflow: str, closed: tuple[int, int] = (0, 0)) -> dict[str, str]:
    """What tells a step's container which TCP ports it may use: that of MLflow's door (a URL; "": there is none) and what the spec names.

    ``closed``: the first and last port that it may not use even if the kernel hands them out, where the machine's network is its own.
    """
    return Ports((*_port_of(mlflow), *ports(request.network)), closed=closed).environment()


def _port_of(url: str) -> tuple[int, ...]:
    found = urlsplit(url)
    default = {"http": (80,), "https": (443,)}.get(found.scheme, ())
    return (found.port,) if found.port else default


def ports(network: Sequence[str]) -> tuple[int, ...]:
    """Of ``host:port`` each: the kernel's rule knows ports, not hosts."""
    return tuple(sorted({int(place.rpartition(":")[2]) for place in network}))


def whole(settings: Settings, path: Path) -> Path:
    """Of an earlier step's output, all of it: what is beside a table or a model belongs to it."""
    if path.is_relative_to(settings.steps):
        parts = path.relative_to(settings.steps).parts
        if len(parts) > 3 and parts[2] == "out":
            return settings.steps.joinpath(*parts[:3])
    return path


def old_bases(folder: Path, model: str) -> list[Path]:
    """What earlier releases kept of a model's bases, beside those of others."""
    return [path for path in folder.glob(f"{model}-*") if re.fullmatch(re.escape(model) + "-[0-9a-f]{16}", path.name)]
