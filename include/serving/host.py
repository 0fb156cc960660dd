"""Where revisions' servers run. What all have in common is :class:`include.serving.revisions.Revisions`'s; here is what differs.

A server is known by its program's name. Every call may be repeated, whatever became of the one before.
"""

from __future__ import annotations

import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from include import atomic
from include.backends.backend import Backend, Launch, Place
from include.backends.cause import last_cause
from include.errors import ComponentError, InputError, UpdraftError
from include.runtime import otlp
from include.runtime.revision_key import revision_key
from include.runtime.sandbox import policy as policies
from include.runtime.sandbox import users, view
from include.runtime.sandbox.policy import Policy, platform_ports
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.serving.lease import RevisionLease
from include.serving.ports import free_ports
from include.serving.processes import Processes
from include.serving.revision import Revision
from include.spec.serve import Serve

GUARD, GUARD_CONFIG = "include/backends/guard.py", "guard.json"
START_LOG_BYTES = 4 * 1024 * 1024
"""More of a log is not looked through for what a server says at its start."""
CONNECT_S = 0.2
START_RETRIES = 5
"""A start that fails is reported by whoever asked for it; later, a server that keeps dying is given up after these."""


@dataclass(frozen=True)
class Address:
    """Where a server listens. A port of 0: there is none."""

    host: str
    http_port: int
    port2: int = 0
    port3: int = 0


@dataclass(frozen=True)
class Instance:
    """A server that is to be run: ``folder`` is what the backend reads (of a shared server: its home), ``lease`` the GPU that it may use.

    ``serve`` and ``lease`` are as they were at the revision's start, of a shared server at that of its first.
    """

    revision: Revision
    backend: Backend
    home: Path
    folder: Path
    serve: Serve
    lease: RevisionLease | None

    @property
    def name(self) -> str:
        """The revision's, unlike any other's, of its content too."""
        return f"{self.revision.name}-{self.revision.digest[:12]}"

    @property
    def devices(self) -> dict[str, str]:
        """What its lease says to the server's process."""
        return dict(self.lease.environment if self.lease else {})


class Host(ABC):
    """Starts, stops and asks after servers."""

    name: ClassVar[str]
    """As in the spec's ``target``."""
    heals: ClassVar[bool] = False
    """Whether it starts a server anew by itself that lives and doesn't answer."""
    starts_inside: ClassVar[bool] = False
    """Whether it starts a server that has ended anew in what :meth:`incarnation` takes for the same process."""
    multiplies: ClassVar[bool] = False
    """Whether it runs several servers of a revision itself, under one address."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def prepare(self, backend: Backend, serve: Serve) -> None:
        """ComponentError that names what is missing when servers of this kind cannot run here."""

    @abstractmethod
    def address(self, model: str, version: str, backend: Backend, serve: Serve, taken: Collection[int]) -> Address:
        """Where a new revision's server shall listen, as the gateway reaches it; ``taken`` are the ports of all others."""

    @abstractmethod
    def place(self, instance: Instance) -> Place:
        """What surrounds the server, as it sees it itself."""

    def fit(self, instance: Instance) -> None:
        """Make what was laid out suit the GPU that the server gets, however long that takes. Asked once for each deployment."""
        return

    @abstractmethod
    def run(self, instance: Instance) -> None:
        """Start it, or do nothing when exactly this server runs already. It may not be ready yet when this returns."""

    @abstractmethod
    def end(self, program: str) -> None:
        """End the server and all its processes, and forget it. Absent is fine."""

    def leave(self, revision: Revision) -> None:
        """Forget where a revision listened whose server goes on with others. Absent is fine."""
        return

    def pause(self, program: str) -> None:
        """The same, to be run again at its address."""
        self.end(program)

    @abstractmethod
    def state(self, program: str) -> State:
        """supervisord's words: ABSENT when there is none of that name, BACKOFF or FATAL when it does not come up."""

    def glimpse(self, revisions: Sequence[Revision]) -> dict[str, Hashable]:
        """What changes, by revision's name, when one of their servers ends, is started or can't be reached any more, seen for a small
        part of what it costs to ask them. Empty where it can't be seen so: each is to be looked at."""
        return {}

    def working(self) -> bool:
        """Whether it can start and end servers now: not while it is being shut down itself."""
        return True

    def incarnation(self, program: str) -> str:
        """What changes with each new start of the server's process; "" where that isn't known."""
        return ""

    def check_gpu(self, runtime: str) -> None:
        """InputError when a server in this environment could be given no GPU here, as far as can be told before there is a lease."""
        return

    def launch(self, instance: Instance) -> Launch:
        """How the server is started here."""
        return instance.backend.launch(instance.backend.laid(instance.folder), self.place(instance))

    def ready(self, instance: Instance) -> bool:
        """Whether this very version answers now."""
        try:
            laid = instance.backend.laid(instance.folder)
        except OSError:  # it is being taken away
            return False
        return instance.backend.ready(instance.revision.url, self.place(instance), laid)

    def logged(self, revision: Revision) -> int:
        """How much its server has logged so far (bytes)."""
        log = self.log(revision)
        return log.stat().st_size if log.exists() else 0

    def start_log(self, revision: Revision, since: int) -> str:
        """What its server has logged after that many bytes, as much as a start takes; "" where its log is not on this machine."""
        try:
            with self.log(revision).open("rb") as log:
                log.seek(since)
                return log.read(START_LOG_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def cause(self, backend: Backend, revision: Revision, since: int) -> str:
        """What the server last complained about after that many bytes of its log, for people."""
        return last_cause(self.log(revision), backend.causes, since)

    def failure(self, backend: Backend, revision: Revision, since: int) -> UpdraftError:
        """Why a server that does not come up does not."""
        why = self.cause(backend, revision, since)
        where = f"revision {revision.version} of {revision.model}"
        return ComponentError(f"the server ended while it loaded the model: {why}", where=where)

    def log(self, revision: Revision) -> Path:
        return self._settings.logs / f"{revision.program}.log"


class ProcessHost(Host):
    """Processes of this machine, under supervisord."""

    name = "process"

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None) -> None:
        super().__init__(settings)
        self._supervisor = supervisor or Supervisor(settings)
        self._processes = Processes(self._supervisor.processes)

    def prepare(self, backend: Backend, serve: Serve) -> None:
        backend.prepare(self._settings, serve)

    def address(self, model: str, version: str, backend: Backend, serve: Serve, taken: Collection[int]) -> Address:
        return Address(self._settings.host, *self._ports(self._settings.host, backend, serve, taken))

    def place(self, instance: Instance) -> Place:
        revision = instance.revision
        return Place(
            model=revision.model,
            version=revision.version,
            name=instance.name,
            folder=instance.folder,
            host=revision.host,
            ports=revision.ports,
            python=self._settings.python(instance.backend.runtime(instance.serve)),
            code=REPO,
            config=instance.folder,
            scratch=instance.folder if revision.shared else instance.home / "scratch",
            shared=bool(revision.shared),
            key=revision_key(self._settings, revision.name),
            traces=receiver.url if (receiver := self._receiver(instance)) else "",
        )

    def _receiver(self, instance: Instance) -> otlp.Receiver | None:
        """Where its server sends its spans; None where it sends none, or is in a network of its own, out of which none come."""
        return otlp.of_servers(self._settings) if instance.backend.traced and not self._guarded(instance) else None

    def fit(self, instance: Instance) -> None:
        instance.backend.fit(self.place(instance), instance.devices, self._settings, build=True)

    def run(self, instance: Instance) -> None:
        instance.backend.fit(self.place(instance), instance.devices, self._settings, build=False)
        launch, guarded = self.launch(instance), self._guarded(instance)
        if guarded:
            launch = behind_guard(launch, self.place(instance), self._settings.python("airflow"))
        write(launch, instance.folder)
        # A server that does not share its port would be kept out of it.
        listens = self._addresses(instance.revision) if guarded or not instance.backend.keyless else ()
        self.place(instance).scratch.mkdir(exist_ok=True)
        if instance.revision.shared:  # its server's ports are those of the revisions that it has at the time
            self._supervisor.hold(instance.revision.name, listens)
        self._supervisor.start_program(
            Program(
                name=instance.revision.program,
                command=self._policy(instance).wrap(launch.command),
                directory=instance.home,
                log=self.log(instance.revision),
                listens=() if instance.revision.shared else listens,
                environment=dict(launch.environment) | instance.devices,
                stop_signal=launch.stop.signal,
                stop_wait_s=launch.stop.wait_s,
                start_retries=START_RETRIES,
            )
        )

    def _policy(self, instance: Instance) -> Policy:
        """What the server may reach: what was laid out for it, and its own ports. One that several revisions share reads and tells those to
        come, too, and listens at their ports: it stays the platform's user, for it takes adapters alone, and nobody's code."""
        settings, shared = self._settings, bool(instance.revision.shared)
        folder, code = policies.code(settings)
        read = [
            settings.runtimes,
            settings.runtimes.parent / "tools",
            *instance.backend.reads(instance.serve),
            # What a shared one reads is in what it may write: read again, it would be read-only.
            *(() if shared else (instance.home, instance.folder)),
        ]
        return Policy(
            name=instance.revision.program,
            reads=(*code, *policies.interpreters(settings), *policies.existing(read)),
            writes=(str(settings.revisions) if shared else str(self.place(instance).scratch),),
            connect=(receiver.port,) if (receiver := self._receiver(instance)) else (),
            bind=tuple(settings.revision_ports) if shared else instance.revision.ports,
            guarded=self._addresses(instance.revision) if self._guarded(instance) else (),
            closed=platform_ports(settings),
            hidden=(str(settings.home),),
            users="" if shared else str(settings.home / users.COUNTER),
            folder=str(folder),
        )

    def _guarded(self, instance: Instance) -> bool:
        """Whether a guard stands before its server, which takes a network of its own."""
        alone = instance.backend.talks_to_itself and not instance.revision.shared  # the ports of those to come are not known
        return (instance.backend.keyless or alone) and networks()

    def end(self, program: str) -> None:
        self._supervisor.stop_program(program)

    def leave(self, revision: Revision) -> None:
        self._supervisor.release(revision.name)

    def pause(self, program: str) -> None:
        self._supervisor.stop_program(program, keep_ports=True)

    @staticmethod
    def _addresses(revision: Revision) -> tuple[str, ...]:
        return tuple(f"{revision.host}:{port}" for port in revision.ports)

    def state(self, program: str) -> State:
        return self._supervisor.state(program)

    def working(self) -> bool:
        return self._supervisor.running()

    def incarnation(self, program: str) -> str:
        return str(self._supervisor.info(program)[1])

    def glimpse(self, revisions: Sequence[Revision]) -> dict[str, Hashable]:
        try:
            programs = self._processes.of({revision.program for revision in revisions})
        except ComponentError:
            return {}
        return {revision.name: (*programs[revision.program], reached(revision)) for revision in revisions}

    def _ports(self, host: str, backend: Backend, serve: Serve, taken: Collection[int]) -> list[int]:
        """InputError when a server that can't be told its port would listen where another does."""
        port = backend.fixed_port(serve)
        if port is None:
            return free_ports(host, self._settings.revision_ports, taken, len(backend.listens(serve)))
        if port in taken:
            remedy = "Let the server be told its port ({port}), or run it where each has a network of its own (target kubernetes)."
            raise InputError(f"another revision has port {port} on this machine.", where="serve.port", remedy=remedy)
        return [port]


def reached(revision: Revision) -> bool:
    """Whether something takes connections where its server listens."""
    try:
        socket.create_connection((revision.host, revision.http_port), CONNECT_S).close()
    except OSError:
        return False
    return True


@cache
def networks() -> bool:
    """Whether servers may have networks of their own here."""
    return view.network_possible()


def behind_guard(launch: Launch, place: Place, python: Path, doors: Mapping[int, int] | None = None) -> Launch:
    """The same server, started by the guard that stands before it. ``doors``: where it listens for each of the server's ports, in a
    container; a process is given its sockets."""
    config = json.dumps({**place.guard, "health": launch.probes.ready} | ({"doors": doors} if doors else {}))
    command = (str(python), "-P", str(place.code / GUARD), str(place.config / GUARD_CONFIG), "--", *launch.command)
    return replace(launch, command=command, files={**launch.files, GUARD_CONFIG: config})


def write(launch: Launch, folder: Path) -> None:
    """The launch's files, each whole or not at all."""
    for name, text in launch.files.items():
        atomic.write(folder / name, text)
