"""Where revisions' servers run. What all have in common is :class:`include.serving.revisions.Revisions`'s; here is what differs.

A server is known by its program's name. Every call may be repeated, whatever became of the one before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from include.backends.backend import AnyServe, Backend
from include.errors import ComponentError, UpdraftError
from include.runtime.settings import Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.serving.cause import last_cause
from include.serving.lease import RevisionLease
from include.serving.ports import free_ports
from include.serving.revision import Revision

START_RETRIES = 5
"""A start that fails is reported by whoever asked for it; later, a server that keeps dying is given up after these."""


@dataclass(frozen=True)
class Address:
    """Where a server listens. A port of 0: it has none of its kind."""

    host: str
    http_port: int
    grpc_port: int = 0
    metrics_port: int = 0


@dataclass(frozen=True)
class Server:
    """What is to be run: ``folder`` is what the engine reads (of a shared server: its home), ``lease`` the GPU that it may use.

    ``serve`` and ``lease`` are as they were at the revision's start, of a shared server at that of its first.
    """

    revision: Revision
    engine: Backend
    home: Path
    folder: Path
    serve: AnyServe
    lease: RevisionLease | None


class Host(ABC):
    """Starts, stops and asks after servers."""

    name: ClassVar[str]
    """As in the spec's ``target``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def prepare(self, engine: Backend) -> None:
        """ComponentError that names what is missing when servers of this kind cannot run here."""

    @abstractmethod
    def address(self, model: str, version: str, engine: Backend, taken: Collection[int]) -> Address:
        """Where a new revision's server shall listen, as the gateway reaches it; ``taken`` are the ports of all others."""

    def fit(self, server: Server) -> None:
        """Make what was laid out suit the GPU that the server gets, however long that takes. Asked once for each deployment."""
        return

    @abstractmethod
    def run(self, server: Server) -> None:
        """Start it, or do nothing when exactly this server runs already. It may not be ready yet when this returns."""

    @abstractmethod
    def end(self, program: str) -> None:
        """End the server and all its processes, and forget it. Absent is fine."""

    def pause(self, program: str) -> None:
        """The same, to be run again at its address."""
        self.end(program)

    @abstractmethod
    def state(self, program: str) -> State:
        """supervisord's words: ABSENT when there is none of that name, BACKOFF or FATAL when it does not come up."""

    def check_gpu(self, engine: Backend) -> None:
        """InputError when a server could be given no GPU here, as far as can be told before there is a lease."""
        return

    def ready(self, engine: Backend, revision: Revision, folder: Path) -> bool:
        """Whether this very version, laid out at ``folder``, answers now."""
        return engine.ready(revision, folder)

    def logged(self, revision: Revision) -> int:
        """How much its server has logged so far (bytes)."""
        log = self.log(revision)
        return log.stat().st_size if log.exists() else 0

    def cause(self, engine: Backend, revision: Revision, since: int) -> str:
        """What the server last complained about after that many bytes of its log, for people."""
        return last_cause(self.log(revision), engine.causes, since)

    def failure(self, engine: Backend, revision: Revision, since: int) -> UpdraftError:
        """Why a server that does not come up does not."""
        why = self.cause(engine, revision, since)
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

    def prepare(self, engine: Backend) -> None:
        engine.prepare()

    def address(self, model: str, version: str, engine: Backend, taken: Collection[int]) -> Address:
        host = self._settings.host
        return Address(host, *free_ports(host, self._settings.revision_ports, taken, engine.ports))

    def fit(self, server: Server) -> None:
        server.engine.fit(server.revision, server.folder, _devices(server), build=True)

    def run(self, server: Server) -> None:
        server.engine.fit(server.revision, server.folder, _devices(server), build=False)
        command, environment = server.engine.command(server.revision, server.folder)
        self._supervisor.start_program(
            Program(
                name=server.revision.program,
                command=command,
                directory=server.home,
                log=self.log(server.revision),
                environment=environment | _devices(server),
                stop_wait_s=server.engine.stop_wait_s,
                start_retries=START_RETRIES,
            )
        )

    def end(self, program: str) -> None:
        self._supervisor.stop_program(program)

    def state(self, program: str) -> State:
        return self._supervisor.state(program)


def _devices(server: Server) -> dict[str, str]:
    """What its lease says to the server's process."""
    return dict(server.lease.environment if server.lease else {})
