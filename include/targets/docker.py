"""Target `docker`: a step is a container of its runtime's image, on the Docker engine that the client speaks to.

The container is known by the step's name. It sees Updraft's code, the model's folder and the step's inputs, all read-only, and may write to
its run's folder and to the kept bases, each at the path that it has outside: the engine must see these folders at the same paths. What it
prints goes to the step's own ``log.txt``, so that no log depends on who follows it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.errors import ComponentError, InputError, UpdraftError
from include.inventory.declared import DECLARED
from include.platform.gpus import simulated
from include.platform.settings import REPO, Settings
from include.pool.ask import MIB, SIZE
from include.pool.targets import DEVICES, device_requests
from include.spec.schema import Limits
from include.steps.context import Request
from include.targets import images
from include.targets.docker_errors import CONNECTION, no_matter, told
from include.targets.target import Step, Target, ended_from_outside

if TYPE_CHECKING:
    from docker.api.client import APIClient

STOP_S = 10
"""Between SIGTERM and SIGKILL."""
PATIENCE_S = 60.0
"""An engine that is away for so long while a step runs fails the task's try; the next one finds the step again."""
FORGET = "168h"
"""Ended containers that nobody has asked after are removed after this."""
COMMAND = 'exec >> "$0/log.txt" 2>&1; exec python -m include.steps "$0"'


@dataclass(frozen=True)
class Place:
    """How an engine is used, as its Airflow connection says.

    ``registry``: images that are not there are pulled from it, else they must be there. ``network``: as Docker knows it; ``host`` reaches
    the platform's servers on loopback. ``mounts``: further folders, ``SOURCE:TARGET[:ro]``. ``tmp``, ``shm``: size of /tmp and /dev/shm.
    """

    registry: str = ""
    network: str = "host"
    mounts: tuple[str, ...] = ()
    tmp: str = "1g"
    shm: str = "1g"

    @classmethod
    def of(cls, extra: Mapping[str, Any], registry: str = "") -> Place:
        """From a connection's extra; other keys are not for this. Raises InputError."""
        mounts = extra.get("mounts", [])
        if not isinstance(mounts, list) or not all(isinstance(one, str) and _mount(one) for one in mounts):
            raise InputError(
                f"mounts is {mounts!r:.120}.", where=CONNECTION, remedy='Give a list such as ["/data:/data:ro"], of absolute paths.'
            )
        words = {name: extra[name] for name in ("network", "tmp", "shm") if name in extra}
        for name, value in words.items():
            if not isinstance(value, str) or not value:
                raise InputError(f"{name} is {value!r:.60}.", where=CONNECTION, remedy="Give a text.")
        return cls(registry=registry, mounts=tuple(mounts), **words)


class DockerTarget(Target):
    """Runs steps on a Docker engine."""

    def __init__(self, settings: Settings, client: APIClient, place: Place | None = None, limits: Limits | None = None) -> None:
        super().__init__(settings)
        self._client, self._place, self._limits = client, place or Place(), limits or Limits()
        self._home = f"updraft-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}"
        self._away_since: float | None = None

    def identity(self, runtime: str) -> str:
        return str(self._image(runtime)["Id"])

    def start(self, step: Step, request: Request, runtime: str, environment: Mapping[str, str]) -> None:
        image, name = self._image(runtime), self.container(step)
        (self._settings.home / "bases").mkdir(exist_ok=True)
        # Simulated ones can't be handed over: the container is told of them, as a process is.
        devices = [uuid for uuid in environment.get(DEVICES[0], "").split(",") if uuid and not uuid.startswith(DECLARED)]
        kept = {key: value for key, value in environment.items() if key not in DEVICES or not devices}
        home = str(step.folder / "tmp")
        with told():
            with no_matter(409):  # another step does it just now
                self._client.prune_containers({"label": [f"updraft.home={self._settings.home}"], "until": [FORGET]})
            self._client.create_container(
                image["Id"],
                ["sh", "-c", COMMAND, str(step.folder)],
                name=name,
                user=f"{os.getuid()}:{os.getgid()}",
                environment=self.environment(step) | {"HOME": home, "USER": "updraft", "LOGNAME": "updraft"} | kept,
                working_dir=str(REPO),
                labels=self._labels() | {"updraft.step": step.folder.name, "updraft.run": request.run_key},
                healthcheck={"test": ["NONE"]},  # the image's is of its server
                host_config=self._host(request, step, device_requests(devices) if devices else []),
            )
            try:
                self._client.start(name)
            except Exception:
                self._remove(name)
                raise

    def container(self, step: Step) -> str:
        """The name of a step's container: two installations may share an engine."""
        return f"{self._home}-{step.name}"

    def alive(self, step: Step) -> bool:
        """An engine that has just gone away says nothing about its steps: they count as running, for a while."""
        try:
            state = self._state(step)
        except ComponentError:
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since > PATIENCE_S:
                raise
            return True
        self._away_since = None
        return state.get("Status") in ("running", "paused", "restarting", "removing")

    def ask_to_stop(self, step: Step) -> None:
        with told(), no_matter(404, 409):
            self._client.kill(self.container(step), "SIGTERM")

    def stop(self, step: Step) -> None:
        with told():
            with no_matter(404, 304):
                self._client.stop(self.container(step), timeout=STOP_S)
            self._remove(self.container(step))

    def kill(self, step: Step) -> None:
        with told():
            self._remove(self.container(step))

    def check_gpu(self, runtime: str) -> None:
        """By starting a container that is given all GPUs and does nothing: no figure of the engine's says it for certain."""
        if simulated(self._settings):
            return
        name, image = f"{self._home}-gpu-check-{uuid4().hex[:8]}", self._image(runtime)
        requests = [{"driver": "nvidia", "count": -1, "capabilities": [["gpu"]]}]
        with told():
            try:
                host = self._client.create_host_config(device_requests=requests, network_mode="none", init=True)
                self._client.create_container(image["Id"], ["true"], name=name, labels=self._labels(), host_config=host)
                self._client.start(name)
            finally:
                self._remove(name)

    def failure(self, step: Step) -> UpdraftError:
        try:
            state = self._state(step)
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

    def _state(self, step: Step) -> dict[str, Any]:
        """The container's state as Docker tells it; empty when there is none."""
        with told(), no_matter(404):
            state: dict[str, Any] = self._client.inspect_container(self.container(step))["State"]
            return state
        return {}

    def _remove(self, name: str) -> None:
        """Until it is gone: its name must be free. Another's removal of it (409) is waited for."""
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            with no_matter(404, 409):
                self._client.remove_container(name, force=True, v=True)
            with no_matter(404):
                self._client.inspect_container(name)
                time.sleep(0.1)
                continue
            return
        raise ComponentError(f"container {name} cannot be removed.", where="Docker engine", remedy=f"Try `docker rm -f {name}` there.")

    def _labels(self) -> dict[str, str]:
        return {"updraft.home": str(self._settings.home)}

    def _image(self, runtime: str) -> dict[str, Any]:
        """What the engine knows of the runtime's image, pulled if need be. InputError when it isn't to be had, or runs elsewhere only."""
        name = images.name(runtime, self._place.registry)
        image = self._find(name)
        if image is None and self._place.registry:
            self._pull(name)
            image = self._find(name)
        if image is None:
            at = self._place.registry or "the Docker host"
            remedy = f"Build it: `make images RUNTIMES={runtime}`" + (
                ", and push it." if self._place.registry else ", on that host's engine."
            )
            raise InputError(f"{at} has no image {name}.", where=f"runtime {runtime}", remedy=remedy)
        with told():
            host = self._client.version()["Arch"]
        if image["Architecture"] != host:
            raise InputError(
                f"image {name} is for {image['Architecture']}, the Docker host is {host}.",
                where=f"runtime {runtime}",
                remedy=f"Build it on that host: `make images RUNTIMES={runtime}`.",
            )
        return image

    def _find(self, name: str) -> dict[str, Any] | None:
        with told(), no_matter(404):
            found: dict[str, Any] = self._client.inspect_image(name)
            return found
        return None

    def _pull(self, name: str) -> None:
        with told(), no_matter(404):
            for line in self._client.pull(name, stream=True, decode=True):
                if problem := line.get("error"):
                    raise ComponentError(f"{name} cannot be pulled ({problem}).", where=f"registry {self._place.registry}")

    def _host(self, request: Request, step: Step, devices: list[dict[str, Any]]) -> dict[str, Any]:
        """What the container may do and see."""
        place, limits = self._place, self._limits
        memory = memory_bytes(limits.memory) if limits.memory else None
        found: dict[str, Any] = self._client.create_host_config(
            init=True,  # the first process of a container hears no SIGTERM, and buries nobody
            network_mode=place.network,
            mounts=[*_mounts(self._settings, request, step), *(bind for one in place.mounts if (bind := _mount(one)))],
            read_only=True,
            tmpfs={"/tmp": f"size={place.tmp},mode=1777"},
            shm_size=place.shm,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            memswap_limit=memory,  # no swap beside it
            nano_cpus=int(limits.cpus * 1e9) if limits.cpus else None,
            device_requests=devices or None,
            log_config={"type": "json-file", "config": {"max-size": "1m"}},
        )
        return found


def memory_bytes(size: str) -> int:
    """Bytes of a size such as ``8GiB``."""
    found = SIZE.match(size)
    assert found is not None, size  # the spec has let it pass
    return int(float(found[1]) * MIB[found[2]] * 2**20)


def _mounts(settings: Settings, request: Request, step: Step) -> list[dict[str, Any]]:
    """The folders that a step needs, each where it is outside. Updraft's home is not among them: credentials stand there."""
    writable = [step.folder.parent, settings.home / "bases"]
    seen = [REPO / "include", *writable]
    found = [_bind(REPO / "include", read_only=True), *(_bind(folder) for folder in writable)]
    for path in (Path(request.spec).parent, *(Path(value) for value in request.inputs.values())):
        if path.is_absolute() and path.exists() and not any(path.is_relative_to(folder) for folder in seen):
            found.append(_bind(path, read_only=True))
            seen.append(path)
    return found


def _bind(source: Path | str, target: Path | str = "", *, read_only: bool = False) -> dict[str, Any]:
    from docker.types import Mount

    found: dict[str, Any] = Mount(str(target or source), str(source), type="bind", read_only=read_only)
    return found


def _mount(text: str) -> dict[str, Any] | None:
    """A mount as ``docker run --volume`` writes it; None when it is none."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not PurePosixPath(source).is_absolute() or not PurePosixPath(target).is_absolute() or mode not in ("", "ro", "rw"):
        return None
    return _bind(source, target, read_only=mode == "ro")
