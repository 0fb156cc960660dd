"""Target `docker`: a step is a container of its runtime's image, on the Docker engine that the client speaks to.

The container is known by the step's name. It sees Updraft's code, the model's folder and the step's inputs, all read-only, and may write to
its own folder, its checkpoints and, for the step that makes them, the model's kept bases. What it prints goes to the step's own
``log.txt``, so that no log depends on who follows it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import ComponentError, InputError, UpdraftError
from include.runtime.sandbox.policy import platform_ports
from include.runtime.settings import REPO, Settings
from include.spec.parts import Limits
from include.steps.context import StepRequest
from include.targets import confined
from include.targets.containers import ALIVE, HOST_NETWORK, Container, Containers, EnginePlace, Mount, handed_over, of, prefix, same
from include.targets.images import contained
from include.targets.target import Step, Target, ended_from_outside

if TYPE_CHECKING:
    from docker.api.client import APIClient

PATIENCE_S = 60.0
"""An engine that is away for so long while a step runs fails the task's try; the next one finds the step again."""
FORGET = "168h"
"""Ended containers that nobody has asked after are removed after this."""


class DockerTarget(Target):
    """Runs steps on a Docker engine."""

    def __init__(self, settings: Settings, client: APIClient, place: EnginePlace | None = None, limits: Limits | None = None) -> None:
        super().__init__(settings)
        self._containers, self._limits = Containers(settings, client, place), limits or Limits()
        self._away_since: float | None = None

    def identity(self, runtime: str) -> str:
        return str(self._containers.image(runtime)["Id"])

    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        containers, image = self._containers, self.identity(runtime)
        for folder in request.keeps:
            Path(folder).mkdir(parents=True, exist_ok=True)
        gpus, kept = handed_over(environment)
        home, closed = str(step.folder / "tmp"), platform_ports(self._settings) if containers.place.network == HOST_NETWORK else (0, 0)
        tcp = confined.tcp_of(request, environment.get("MLFLOW_TRACKING_URI", ""), closed)
        containers.forget(FORGET)
        containers.start(
            Container(
                name=self.container(step),
                image=image,
                command=contained("python", runtime, step.folder),
                folder=str(REPO),
                place=containers.place,
                environment=self.environment(step) | {"HOME": home, "USER": "updraft", "LOGNAME": "updraft"} | tcp | kept,
                labels=containers.labels() | {"updraft.step": step.folder.name, "updraft.run": request.run_key},
                mounts=_mounts(self._settings, request, step, Path(environment["UPDRAFT_CHECKPOINTS"])),
                gpus=gpus,
                **of(self._limits),
            )
        )

    def container(self, step: Step) -> str:
        """The name of a step's container: two installations may share an engine."""
        return f"{prefix(self._settings)}-{step.name}"

    def alive(self, step: Step) -> bool:
        """An engine that has just gone away says nothing about its steps: they count as running, for a while."""
        try:
            state = self._containers.state(self.container(step))
        except ComponentError:
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since > PATIENCE_S:
                raise
            return True
        self._away_since = None
        return state.get("Status") in ALIVE

    def ask_to_stop(self, step: Step) -> None:
        self._containers.signal(self.container(step), "SIGTERM")

    def stop(self, step: Step) -> None:
        self._containers.stop(self.container(step))

    def kill(self, step: Step) -> None:
        self._containers.remove(self.container(step))

    def check_gpu(self, runtime: str) -> None:
        self._containers.check_gpu(runtime)

    def failure(self, step: Step) -> UpdraftError:
        try:
            state = self._containers.state(self.container(step))
        except ComponentError as away:
            return away
        code, oom = state.get("ExitCode"), state.get("OOMKilled")
        if not state:
            return ended_from_outside(step, "its container is gone: somebody has removed it, or the engine has lost it.")
        if oom and self._limits.memory:
            return InputError(
                f"step {step.folder.name} needed more than {self._limits.memory} of memory and was ended.",
                where="model.yaml: limits.memory",
                remedy="Raise it, or use less data or a smaller model.",
            )
        if code in (126, 127):
            return InputError(
                f"the image cannot run the step (exit code {code}).",
                where=f"step {step.folder.name}",
                remedy="The log above says what is missing. Build the image anew: `make images`.",
            )
        if oom:
            return ended_from_outside(step, "the Docker host ran out of memory, and its container was killed.")
        if code in (137, 143):
            return ended_from_outside(
                step, "its container was ended from outside before it had a result (killed, or the engine was stopped)."
            )
        said = state.get("Error") or ""
        return ended_from_outside(step, f"its container ended with exit code {code} and without a result. {said}".rstrip())


def _mounts(settings: Settings, request: StepRequest, step: Step, checkpoints: Path) -> tuple[Mount, ...]:
    """The folders that a step needs, each where it is outside. Updraft's home is not among them: credentials stand there."""
    writable = [step.folder, checkpoints, *map(Path, request.keeps)]
    seen = [REPO / "include", *writable]
    found = [same(REPO / "include", read_only=True), *(same(folder) for folder in writable)]
    for path in (
        Path(request.folder),
        *map(Path, request.reads),
        *(confined.whole(settings, Path(value)) for value in request.inputs.values()),
    ):
        if path.is_absolute() and path.exists() and not any(path.is_relative_to(folder) for folder in seen):
            found.append(same(path, read_only=True))
            seen.append(path)
    return tuple(found)
