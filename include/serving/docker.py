"""Revisions' servers as containers: each is started, followed and ended by a program of supervisord's, :mod:`include.serving.contained`.

So a server in a container is what a process is: it comes back when it dies, its log is a file, `make down` ends it and `make up` starts
it. The program asks the engine; what it is told stands in a file beside the platform's state, and what a revision was placed on in its
home: neither holds a secret, and no connection of Airflow's is needed to start it again or to end it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from include import atomic
from include.backends.backend import Backend, Launch, Place
from include.backends.cause import last_cause
from include.errors import InputError
from include.runtime.sandbox.ports import Ports
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.serving.contained import SAYS, Order, ended
from include.serving.host import START_RETRIES, Address, Instance, ProcessHost, behind_guard, write
from include.serving.revision import Revision
from include.spec.serve import Serve
from include.targets import images
from include.targets.containers import (
    HOST_NETWORK,
    STOP_S,
    Container,
    Containers,
    EngineAccess,
    EnginePlace,
    Mount,
    handed_over,
    holder,
    of,
    prefix,
    same,
)
from include.targets.docker_errors import CONNECTION

FILE = "docker.json"
START_S = 10
"""A container that ends sooner has failed to start: the next try waits a little longer, and after some there is none."""
OF_THE_IMAGE = ("PATH", "LD_LIBRARY_PATH")
EVERYWHERE, LOOPBACK = "0.0.0.0", "127.0.0.1"
OWN_NETWORK = "bridge"
"""Docker's own, of a server that must not be asked past its guard."""
HOLD = "import signal; signal.pause()"
"""What the container that holds a network runs: nothing, until it is stopped."""
DOOR = 61000
"""The first port of a guard in a container, above those that kernels hand out."""
Reach = Callable[[], tuple[EngineAccess, EnginePlace, Any]]
"""Where the engine is, how it is used, and a client of it that may pull. Raises InputError and ComponentError."""


@dataclass(frozen=True)
class Placed:
    """Where a revision was placed, and from what: in its home (of a shared server: the server's)."""

    access: EngineAccess
    place: EnginePlace
    image: str

    def save(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        atomic.write(home / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, home: Path) -> Placed:
        try:
            data = json.loads((home / FILE).read_text())
        except OSError:
            raise InputError("is missing.", where=str(home / FILE), remedy="Deploy the version again.") from None
        return cls(EngineAccess(**data["access"]), EnginePlace.from_json(data["place"]), data["image"])


class DockerHost(ProcessHost):
    """Containers on a Docker engine. Without ``reach`` revisions that were placed before are started again and ended, none is placed."""

    name = "docker"
    starts_inside = True  # the engine does, and the follower goes on

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None, reach: Reach | None = None) -> None:
        super().__init__(settings, supervisor)
        self._reach = reach
        self._reached: tuple[EngineAccess, EnginePlace, Containers] | None = None

    def prepare(self, backend: Backend, serve: Serve) -> None:
        """InputError when the engine has no image for it, ComponentError when it doesn't answer."""
        if self._reach is not None:
            self._image(backend, serve)

    def check_gpu(self, runtime: str) -> None:
        self._containers().check_gpu(runtime)

    def address(self, model: str, version: str, backend: Backend, serve: Serve, taken: Collection[int]) -> Address:
        host = self._where()[1].address
        return Address(host, *self._ports(host, backend, serve, taken))

    def place(self, instance: Instance) -> Place:
        """In an image; folders are at the paths that they have outside."""
        own = self._network(instance.home) != HOST_NETWORK
        host = LOOPBACK if self._guarded(instance) else EVERYWHERE if own else instance.revision.host
        python = images.python(instance.backend.runtime(instance.serve))
        return replace(super().place(instance), host=host, python=python, inside=True, traces="")

    def launch(self, instance: Instance) -> Launch:
        """Behind a guard where the server knows no key, or talks to itself without one: both are alone in the container's network."""
        launch, place = super().launch(instance), self.place(instance)
        if not self._guarded(instance):
            return launch
        doors = self._doors(instance)
        held = Ports(listen=(*doors, *doors.values())).environment()
        return behind_guard(replace(launch, environment={**launch.environment, **held}), place, place.python, doors)

    def _guarded(self, instance: Instance) -> bool:
        """Another's image has no Python for a guard, as far as is known."""
        backend = instance.backend
        alone = backend.talks_to_itself and not instance.revision.shared  # the ports of those to come are not known
        return (backend.keyless or alone) and not backend.image(instance.serve)

    @staticmethod
    def _doors(instance: Instance) -> dict[int, int]:
        """The server's ports, and where a guard listens for each."""
        return {port: DOOR + number for number, port in enumerate(instance.revision.ports)}

    def fit(self, instance: Instance) -> None:
        """Its image's server has no backend for GPUs."""
        return

    def run(self, instance: Instance) -> None:
        placed, launch = self._placed(instance), self.launch(instance)
        placed.save(instance.home)
        write(launch, instance.folder)
        self.place(instance).scratch.mkdir(exist_ok=True)
        order = Order(placed.access, self._container(instance, placed, launch), launch.stop.wait_s)
        file = self._order(instance.revision.program)
        listens = self._addresses(instance.revision) if placed.access.here and order.container.place.network == HOST_NETWORK else ()
        order.save(file)
        ended(file).unlink(missing_ok=True)
        if instance.revision.shared:  # its server's ports are those of the revisions that it has at the time
            self._supervisor.hold(instance.revision.name, listens)
        self._supervisor.start_program(
            Program(
                name=instance.revision.program,
                listens=() if instance.revision.shared else listens,
                command=(str(self._settings.python("airflow")), "-m", "include.serving.contained", str(file), order.digest),
                directory=REPO,
                log=self.log(instance.revision),
                environment={"PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1", "UPDRAFT_HOME": str(self._settings.home)},
                start_s=START_S,
                stop_wait_s=launch.stop.wait_s + STOP_S,
                start_retries=START_RETRIES,
            )
        )

    def end(self, program: str) -> None:
        """ComponentError when the engine doesn't answer: then the server may still run."""
        super().end(program)
        self._forget(program)

    def pause(self, program: str) -> None:
        super().pause(program)
        self._forget(program)

    def _forget(self, program: str) -> None:
        """Remove what is on the engine."""
        file = self._order(program)
        if file.exists():
            order = Order.read(file)
            containers = Containers(self._settings, order.access.client())
            containers.remove(order.container.name)
            containers.remove(holder(order.container.name))
            file.unlink()
        ended(file).unlink(missing_ok=True)

    def state(self, program: str) -> State:
        """BACKOFF too when it runs again after an end that nobody had asked for, since :meth:`run`."""
        found = super().state(program)
        again = found in (State.STARTING, State.RUNNING) and ended(self._order(program)).exists()
        return State.BACKOFF if again else found

    def cause(self, backend: Backend, revision: Revision, since: int) -> str:
        return last_cause(self.log(revision), (re.compile(rf"^{SAYS}(.*)$"), *backend.causes), since)

    def _network(self, home: Path) -> str:
        """That of the engine, now, or when the server in ``home`` was placed."""
        if self._reach is not None:
            return self._where()[1].network
        return Placed.read(home).place.network if (home / FILE).exists() else HOST_NETWORK

    def _placed(self, instance: Instance) -> Placed:
        """Where it is to run: where the engine is now, else where it was."""
        if self._reach is None:
            return Placed.read(instance.home)
        access, place, _ = self._where()
        if instance.revision.shared and place.network != HOST_NETWORK:
            raise InputError(
                f"adapters share a server, which listens on ports of their own: network {place.network} has none for those to come.",
                where=f"{CONNECTION}: network",
                remedy="Leave it at host, or serve adapters merged (serve.adapters: false).",
            )
        return Placed(access, place, str(self._image(instance.backend, instance.serve)["Id"]))

    def _container(self, instance: Instance, placed: Placed, launch: Launch) -> Container:
        revision, place, guarded = instance.revision, placed.place, self._guarded(instance)
        if guarded and place.network == HOST_NETWORK:
            place = replace(place, network=OWN_NETWORK)
        own = place.network != HOST_NETWORK
        gpus, lease = handed_over(instance.devices)
        told = {key: value for key, value in launch.environment.items() if key not in OF_THE_IMAGE} | lease
        return Container(
            name=f"{prefix(self._settings)}-{revision.program}",
            image=placed.image,
            command=launch.command,
            folder=str(instance.folder),
            place=place,
            environment={"HOME": "/tmp", "USER": "updraft", "LOGNAME": "updraft", "PYTHONPATH": ""} | told,
            labels={"updraft.home": str(self._settings.home), "updraft.revision": revision.program},
            mounts=self._mounts(instance),
            gpus=gpus,
            published=revision.ports if own else (),
            inner=tuple(self._doors(instance).values()) if guarded else (),
            # Another's image has no Python, as far as is known; and a guard must not outlive the network that it stands in.
            holder=(str(self.place(instance).python), "-c", HOLD) if own and not instance.backend.image(instance.serve) else (),
            stop_signal=launch.stop.signal,
            **of(instance.serve.limits),
        )

    def _image(self, backend: Backend, serve: Serve) -> dict[str, Any]:
        """InputError when it isn't to be had."""
        own = backend.image(serve)
        return self._containers().foreign(own) if own else self._containers().image(backend.runtime(serve))

    def _mounts(self, instance: Instance) -> tuple[Mount, ...]:
        """Updraft's code and what was laid out, to be read, and a folder to write to. A shared one finds its revisions' adapters in their
        folders, and says there why it could not take one."""
        code = same(REPO / "include", read_only=True)
        if instance.revision.shared:
            return code, same(self._settings.revisions)
        return code, same(instance.folder, read_only=True), same(self.place(instance).scratch)

    def _order(self, program: str) -> Path:
        return self._settings.home / "containers" / f"{program}.json"

    def _where(self) -> tuple[EngineAccess, EnginePlace, Containers]:
        if self._reach is None:
            raise InputError(
                "no Docker engine is known here.", where=CONNECTION, remedy="Deploy by the model's lifecycle or its rollback DAG."
            )
        if self._reached is None:
            access, place, client = self._reach()
            self._reached = access, place, Containers(self._settings, client, place)
        return self._reached

    def _containers(self) -> Containers:
        return self._where()[2]
