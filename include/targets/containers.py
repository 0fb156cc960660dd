"""Containers on a Docker engine, of steps and of revisions' servers alike: images, what a container may do and see, GPUs, its end.

A container has Updraft's folders at the paths that they have outside: the engine must see them at the same paths. It runs as the user of
Airflow's worker, with a read-only root, no capabilities and no way to gain any.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.errors import ComponentError, InputError
from include.inventory.declared import DECLARED
from include.inventory.local_agent import simulated
from include.pool.ask import mib
from include.pool.grants import DEVICES, device_requests
from include.runtime import layers
from include.runtime.settings import Settings
from include.spec.parts import Limits
from include.targets import images
from include.targets.docker_errors import CONNECTION, no_matter, told

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from docker.tls import TLSConfig

TLS = ("ca_cert", "client_cert", "client_key")
STOP_S = 10
"""Between SIGTERM and SIGKILL."""
PROCESSES = 4096
"""Of a container, threads among them; more on machines with many processors."""
ALIVE = ("running", "paused", "restarting", "removing")
"""Docker's words for a container that has not ended."""
HOST_NETWORK = "host"


@dataclass(frozen=True)
class EngineAccess:
    """Where an engine answers; for TLS, three files."""

    url: str = "unix:///var/run/docker.sock"
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = ""
    verify: bool = True

    @classmethod
    def of(cls, extra: Mapping[str, Any], environment: Mapping[str, str]) -> EngineAccess:
        """From a connection's extra (``engine``, and all three files or none), else as Docker's own client takes it from the environment.

        Raises InputError.
        """
        if not extra.get("engine"):
            url, folder = environment.get("DOCKER_HOST") or cls.url, environment.get("DOCKER_CERT_PATH")
            verify = bool(environment.get("DOCKER_TLS_VERIFY"))
            if not (folder or verify):
                return cls(url)
            place = Path(folder) if folder else Path.home() / ".docker"
            return cls(url, str(place / "ca.pem"), str(place / "cert.pem"), str(place / "key.pem"), verify)
        given = [name for name in TLS if extra.get(name)]
        if given and len(given) < len(TLS):
            missing = ", ".join(name for name in TLS if name not in given)
            raise InputError(
                f"has {', '.join(given)}, and no {missing}.", where=CONNECTION, remedy="TLS needs all three, as paths of files."
            )
        ca_cert, client_cert, client_key = (str(extra.get(name) or "") for name in TLS)
        return cls(str(extra["engine"]), ca_cert, client_cert, client_key)

    def tls(self) -> TLSConfig | None:
        """Raises DockerException for files that are not there."""
        from docker.tls import TLSConfig

        if not self.client_cert:
            return None
        return TLSConfig(ca_cert=self.ca_cert, client_cert=(self.client_cert, self.client_key), verify=self.verify)

    @property
    def here(self) -> bool:
        """Whether it is this machine's: ports that its containers take are ports of this machine."""
        return self.url.startswith("unix://")

    def client(self) -> APIClient:
        """Of the engine, which has answered. Raises ComponentError."""
        from docker.api.client import APIClient

        with told():
            return APIClient(self.url, version="auto", tls=self.tls() or False)


@dataclass(frozen=True)
class EnginePlace:
    """How an engine is used, as its Airflow connection says.

    ``registry``: images that are not there are pulled from it, else they must be there. ``network``: as Docker knows it; ``host`` reaches
    the platform's servers on loopback. ``address``: the IP address of the Docker host at which the gateway reaches revisions' servers; they
    listen there and nowhere else. ``mounts``: further folders, ``SOURCE:TARGET[:ro]``. ``tmp``, ``shm``: size of /tmp and /dev/shm.
    """

    registry: str = ""
    network: str = HOST_NETWORK
    address: str = "127.0.0.1"
    mounts: tuple[str, ...] = ()
    tmp: str = "1g"
    shm: str = "1g"

    @classmethod
    def of(cls, extra: Mapping[str, Any], registry: str = "") -> EnginePlace:
        """From a connection's extra; other keys are not for this. Raises InputError."""
        mounts = extra.get("mounts", [])
        if not isinstance(mounts, list) or not all(isinstance(one, str) and mount(one) for one in mounts):
            raise InputError(
                f"mounts is {mounts!r:.120}.", where=CONNECTION, remedy='Give a list such as ["/data:/data:ro"], of absolute paths.'
            )
        words = {name: extra[name] for name in ("network", "address", "tmp", "shm") if name in extra}
        for name, value in words.items():
            if not isinstance(value, str) or not value:
                raise InputError(f"{name} is {value!r:.60}.", where=CONNECTION, remedy="Give a text.")
        try:
            ip_address(words.get("address", cls.address))
        except ValueError:
            remedy = "Give an IP address of the Docker host that this machine reaches, such as 192.0.2.7."
            raise InputError(f"address is {words['address']!r:.60}.", where=CONNECTION, remedy=remedy) from None
        return cls(registry=registry, mounts=tuple(mounts), **words)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EnginePlace:
        return cls(**{**data, "mounts": tuple(data["mounts"])})


@dataclass(frozen=True)
class Mount:
    """A folder of the Docker host, in the container."""

    source: str
    target: str
    read_only: bool = False


def same(path: Path, *, read_only: bool = False) -> Mount:
    """The folder at the path that it has outside."""
    return Mount(str(path), str(path), read_only)


def mount(text: str) -> Mount | None:
    """As ``docker run --volume`` writes it; None when it is none."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not PurePosixPath(source).is_absolute() or not PurePosixPath(target).is_absolute() or mode not in ("", "ro", "rw"):
        return None
    return Mount(source, target, mode == "ro")


@dataclass(frozen=True)
class Container:
    """What is to run, as plain data.

    ``image``: its id. ``place``: an engine's words for all containers. ``gpus``: the devices that are handed over, by UUID. ``published``:
    ports that are reached at the place's address, where the container has a network of its own; ``inner``: as they are called there, where
    that is otherwise. ``holder``: a command of the image's that waits for ever; a second container runs it, which has the network and its
    published ports, so that they stay taken while the server's container comes and goes.
    """

    name: str
    image: str
    command: tuple[str, ...]
    folder: str
    place: EnginePlace
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: tuple[Mount, ...]
    memory: str | None = None
    cpus: float | None = None
    gpus: tuple[str, ...] = ()
    published: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()
    holder: tuple[str, ...] = ()
    stop_signal: str = "TERM"
    user: str = field(default_factory=lambda: f"{os.getuid()}:{os.getgid()}")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Container:
        place, mounts = EnginePlace.from_json(data["place"]), tuple(Mount(**one) for one in data["mounts"])
        lists = {name: tuple(data[name]) for name in ("command", "gpus", "published", "inner", "holder")}
        return cls(**{**data, **lists, "place": place, "mounts": mounts})


def handed_over(environment: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The devices of a lease's environment that a container is given, and what is left of the environment then.

    Simulated ones can't be handed over: the container is told of them, as a process is.
    """
    devices = tuple(uuid for uuid in environment.get(DEVICES[0], "").split(",") if uuid and not uuid.startswith(DECLARED))
    return devices, {key: value for key, value in environment.items() if key not in DEVICES or not devices}


class Containers:
    """Those of this platform, on the engine that the client speaks to."""

    def __init__(self, settings: Settings, client: APIClient, place: EnginePlace | None = None) -> None:
        self.client, self.place = client, place or EnginePlace()
        self._settings = settings
        self._prefix = prefix(settings)

    def labels(self) -> dict[str, str]:
        return {"updraft.home": str(self._settings.home)}

    def start(self, container: Container) -> None:
        """Make and start it, in its holder's network if it has one; there must be none of its name. Nothing is left of a refused one."""
        if container.holder:
            self._hold(container)
            container = replace(
                container, place=replace(container.place, network=f"container:{holder(container.name)}"), published=(), inner=()
            )
        with told():
            self.client.create_container(
                container.image,
                list(container.command) or None,
                name=container.name,
                user=container.user,
                environment=dict(container.environment),
                working_dir=container.folder,
                stop_signal=f"SIG{container.stop_signal}",
                labels=dict(container.labels),
                healthcheck={"test": ["NONE"]},  # the image's is of its server
                ports=list(container.inner or container.published) or None,
                host_config=self._host_config(container),
            )
            try:
                self.client.start(container.name)
            except Exception:
                self.remove(container.name)
                raise

    def _hold(self, container: Container) -> None:
        """Start the container that holds the network, unless it runs: with the same ports, or another takes its place."""
        name, bindings = holder(container.name), _bindings(container)
        wanted = {f"{inner}/tcp": [{"HostIp": host, "HostPort": str(port)}] for inner, (host, port) in bindings.items()}
        found = self.inspect(name)
        if found and found["State"]["Running"] and found["HostConfig"]["PortBindings"] == wanted:
            return
        self.remove(name)
        self.start(replace(container, name=name, command=container.holder, holder=(), environment={}, mounts=(), gpus=(), folder="/"))

    def inspect(self, name: str) -> dict[str, Any]:
        """The container as Docker tells it; empty when there is none."""
        with told(), no_matter(404):
            found: dict[str, Any] = self.client.inspect_container(name)
            return found
        return {}

    def state(self, name: str) -> dict[str, Any]:
        """Its ``State``; empty when there is none."""
        found: dict[str, Any] = self.inspect(name).get("State", {})
        return found

    def signal(self, name: str, signal: str) -> None:
        """To its first process. One that has ended, or is gone, is fine."""
        with told(), no_matter(404, 409):
            self.client.kill(name, signal)

    def stop(self, name: str, timeout_s: int = STOP_S) -> None:
        """SIGTERM, SIGKILL ``timeout_s`` later, and it is gone. Absent is fine."""
        with told():
            with no_matter(404, 304):
                self.client.stop(name, timeout=timeout_s)
            self.remove(name)

    def remove(self, name: str) -> None:
        """Killed, and gone: its name is free. Another's removal of it (409) is waited for."""
        deadline = time.monotonic() + STOP_S
        with told():
            while time.monotonic() < deadline:
                with no_matter(404, 409):
                    self.client.remove_container(name, force=True, v=True)
                with no_matter(404):
                    self.client.inspect_container(name)
                    time.sleep(0.1)
                    continue
                return
        raise ComponentError(f"container {name} cannot be removed.", where="Docker engine", remedy=f"Try `docker rm -f {name}` there.")

    def forget(self, age: str) -> None:
        """Remove this platform's containers that ended so long ago (``168h``)."""
        with told(), no_matter(409):  # another does it just now
            self.client.prune_containers({"label": [f"updraft.home={self._settings.home}"], "until": [age]})

    def image(self, runtime: str) -> dict[str, Any]:
        """What the engine knows of the runtime's image, pulled if need be. InputError when it isn't to be had, or runs elsewhere only."""
        name = images.name(runtime, self.place.registry)
        image = self._find(name)
        if image is None and self.place.registry:
            self._pull(name)
            image = self._find(name)
        if image is None:
            at = self.place.registry or "the Docker host"
            base, layer = layers.split(runtime)
            remedy = f"Build it: `make images RUNTIMES={base}{' MODEL=<the model>' if layer else ''}`" + (
                ", and push it." if self.place.registry else ", on that host's engine."
            )
            raise InputError(f"{at} has no image {name}.", where=f"runtime {runtime}", remedy=remedy)
        with told():
            host = self.client.version()["Arch"]
        if image["Architecture"] != host:
            raise InputError(
                f"image {name} is for {image['Architecture']}, the Docker host is {host}.",
                where=f"runtime {runtime}",
                remedy=f"Build it on that host: `make images RUNTIMES={runtime}`.",
            )
        return image

    def foreign(self, name: str) -> dict[str, Any]:
        """The same of an image that is not Updraft's: it is pulled unless it is there."""
        image = self._find(name)
        if image is None:
            self._pull(name)
            image = self._find(name)
        if image is None:
            raise InputError(
                f"there is no image {name!r:.200}.", where="serve.image", remedy="Correct its name, or log in to its registry."
            )
        return image

    def check_gpu(self, runtime: str) -> None:
        """InputError when a container of that runtime could be given no GPU.

        By starting one that is given all GPUs and does nothing: no figure of the engine's says it for certain.
        """
        if simulated(self._settings):
            return
        name, image = f"{self._prefix}-gpu-check-{uuid4().hex[:8]}", self.image(runtime)
        requests = [{"driver": "nvidia", "count": -1, "capabilities": [["gpu"]]}]
        with told():
            try:
                host = self.client.create_host_config(device_requests=requests, network_mode="none", init=True)
                self.client.create_container(image["Id"], ["true"], name=name, labels=self.labels(), host_config=host)
                self.client.start(name)
            finally:
                self.remove(name)

    def _find(self, name: str) -> dict[str, Any] | None:
        with told(), no_matter(404):
            found: dict[str, Any] = self.client.inspect_image(name)
            return found
        return None

    def _pull(self, name: str) -> None:
        with told(), no_matter(404):
            for line in self.client.pull(name, stream=True, decode=True):
                if problem := line.get("error"):
                    raise ComponentError(f"{name} cannot be pulled ({problem}).", where=f"registry {self.place.registry}")

    def _host_config(self, container: Container) -> dict[str, Any]:
        """What the container may do and see."""
        place, memory = container.place, memory_bytes(container.memory) if container.memory else None
        mounts = [*container.mounts, *(more for one in place.mounts if (more := mount(one)))]
        found: dict[str, Any] = self.client.create_host_config(
            init=True,  # the first process of a container hears no SIGTERM, and buries nobody
            network_mode=place.network,
            port_bindings=_bindings(container) or None,
            mounts=[{"Target": one.target, "Source": one.source, "Type": "bind", "ReadOnly": one.read_only} for one in mounts],
            read_only=True,
            tmpfs={"/tmp": f"size={place.tmp},mode=1777"},
            shm_size=place.shm,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=max(PROCESSES, 64 * (os.cpu_count() or 1)),
            mem_limit=memory,
            memswap_limit=memory,  # no swap beside it
            nano_cpus=int(container.cpus * 1e9) if container.cpus else None,
            device_requests=device_requests(container.gpus) if container.gpus else None,
            log_config={"type": "json-file", "config": {"max-size": "1m"}},
        )
        return found


def holder(name: str) -> str:
    """The name of the container that holds another's network."""
    return f"{name}-network"


def _bindings(container: Container) -> dict[int, tuple[str, int]]:
    """Where the machine comes to which of the container's ports."""
    inner = container.inner or container.published
    return {port: (container.place.address, outer) for port, outer in zip(inner, container.published, strict=True)}


def prefix(settings: Settings) -> str:
    """What the names of this platform's containers begin with: two platforms may share an engine."""
    return f"updraft-{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}"


def memory_bytes(size: str) -> int:
    """Of a size such as ``8GiB``."""
    return int(mib(size) * 2**20)


def of(limits: Limits | None) -> dict[str, Any]:
    """A spec's limits as a container's."""
    return {"memory": limits.memory, "cpus": limits.cpus} if limits else {}
