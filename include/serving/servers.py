"""Revisions' servers as they are found: where they lie, what they hold, what they say. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from include.backends import options
from include.backends.backend import Place
from include.backends.registry import backend as backend_of
from include.errors import InputError, UpdraftError
from include.runtime.settings import Settings
from include.runtime.supervisor import State, Supervisor
from include.serving import halted, standby
from include.serving.docker import DockerHost
from include.serving.glimpse import glimpse
from include.serving.host import Host, Instance, ProcessHost
from include.serving.kubernetes.host import KubernetesHost
from include.serving.lease import RevisionLease
from include.serving.locks import is_locked
from include.serving.observed import Observed
from include.serving.revision import FILE, REPOSITORY, Revision, RevisionState
from include.spec.serve import Serve

SHARED, REPLICAS = ".shared", "replicas"
"""The folder of the servers that serve several revisions, and that of a revision's servers beside its first, in the revision's own."""
Hosts = Mapping[str, Callable[[], Host]]


class Servers:
    """Finds revisions and their servers, and asks after them.

    ``hosts`` are the places beside this machine's own processes where servers can run, by target; each is made when a revision needs it.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None, hosts: Hosts | None = None) -> None:
        self._settings = settings
        self._made: dict[str, Host] = {}
        known: Hosts = {
            ProcessHost.name: lambda: ProcessHost(settings, supervisor),
            DockerHost.name: lambda: DockerHost(settings, supervisor),
            KubernetesHost.name: lambda: KubernetesHost(settings),
        }
        self._hosts: Hosts = {**known, **(hosts or {})}

    def halted(self, revision: Revision) -> bool:
        """Whether a person has stopped it."""
        return halted.is_halted(self._own(revision))

    def busy(self, revision: Revision) -> bool:
        """Whether somebody is starting or ending it now."""
        return is_locked(self._settings, self._lock(revision))

    def observe(self, revision: Revision) -> Observed:
        """What is seen of it now. ComponentError when its host does not answer."""
        host, lease = self._host(revision.target), self.lease(revision)
        if not host.working():  # its servers end with it, and begin with it
            return Observed(State.UNKNOWN, busy=True)
        program = host.state(revision.program)
        try:
            member = self._member(revision)
        except InputError:  # it is being taken away
            return Observed(program, busy=True)
        return Observed(
            program,
            host.incarnation(revision.program) if program.alive else "",
            ready=program.alive and host.ready(member),
            failure=self._failure(revision) if program.alive else "",
            busy=self.busy(revision),
            halted=self.halted(revision),
            waits=lease is not None and not lease.held,
            start_s=member.serve.start_timeout_s,
            heals=host.heals,
            starts_inside=host.starts_inside or member.backend.starts_inside,
        )

    def glimpse(self, revisions: Iterable[Revision]) -> dict[str, Hashable]:
        """What changes, by its name, when something is done to one of these servers (:mod:`include.serving.glimpse`)."""
        return glimpse(self._host, lambda one: {self._own(one), self._home(one)}, revisions)

    def lease(self, revision: Revision) -> RevisionLease | None:
        """What its server asks of the GPU pool and holds; None when it needs no GPU."""
        return RevisionLease.read(self._home(revision))

    def shared_lease(self, bundle: Path, serve: Serve) -> RevisionLease | None:
        """What the server holds that a revision of the bundle would share with others; None when there is none, or it holds nothing."""
        shared = backend_of(serve.backend).shared(bundle, serve)
        lease = RevisionLease.read(self._settings.revisions / SHARED / shared) if shared else None
        return lease if lease is not None and lease.held else None

    def standby(self, revision: Revision) -> float | None:
        """Until when (seconds since the epoch) it stands by; None when it doesn't."""
        return standby.read(self._own(revision))

    def find(self, model: str, version: str) -> Revision | None:
        """The revision as it was started, whatever its state; None when there is none."""
        return Revision.read(self._folder(model, version))

    def replicas(self, revision: Revision) -> Sequence[Revision]:
        """The servers that a revision has beside its first, by number."""
        found = self._read(f"{revision.model}/{revision.version}/{REPLICAS}/*/{FILE}")
        return sorted(found, key=lambda server: server.number)

    def servers(self) -> Sequence[Revision]:
        """Every server of every revision: what :meth:`list` says, and the further servers of each."""
        return [*self.list(), *self._read(f"*/*/{REPLICAS}/*/{FILE}")]

    def multiplies(self, revision: Revision) -> bool:
        """Whether its host itself runs several servers under the revision's one address."""
        return self._host(revision.target).multiplies

    def list(self, model: str | None = None) -> Sequence[Revision]:
        """Every revision that was started and not stopped."""
        return self._read(f"{model or '*'}/*/{FILE}")

    def state(self, revision: Revision) -> RevisionState:
        """Of one server. RUNNING only when it says that this version is ready."""
        program = self._host(revision.target).state(revision.program)
        if program is State.ABSENT:
            lease = None if self.halted(revision) else self.lease(revision)
            return RevisionState.PREEMPTED if lease is not None and not lease.held else RevisionState.STOPPED
        if program is State.STOPPING:
            return RevisionState.STOPPING
        if not program.alive:
            return RevisionState.ERROR
        if self.answers(revision):
            return RevisionState.RUNNING
        return RevisionState.ERROR if self._failure(revision) else RevisionState.STARTING

    def ready(self, revision: Revision) -> bool:
        """Whether this very version answers now, by whichever of its servers."""
        return self.answers(revision) or (revision.number == 1 and any(map(self.answers, self.replicas(revision))))

    def answers(self, revision: Revision) -> bool:
        """Whether this very server answers now."""
        try:
            member = self._member(revision)
        except InputError:  # it was stopped meanwhile
            return False
        return self._host(revision.target).ready(member)

    def cause(self, revision: Revision) -> str:
        """What the server last complained about, for people."""
        return self._failure(revision) or self._cause(revision, 0)

    def scraped(self, revision: Revision) -> tuple[str, dict[str, str]] | None:
        """Where the figures of its server are read, and with which headers; None when it has none that can be reached from here."""
        try:
            member = self._instance(revision)
            host, backend = self._host(revision.target), member.backend
            metrics, ports = host.launch(member).metrics, dict(zip(backend.listens(member.serve), revision.ports, strict=False))
        except (UpdraftError, OSError):  # it is being taken away, or its host is not reached from here
            return None
        if metrics is None or not ports.get(metrics.port):
            return None
        return f"http://{revision.host}:{ports[metrics.port]}{metrics.path}", host.place(member).shown

    def served(self, revision: Revision) -> str:
        """How its server runs the model on its GPU, and why in no better way, in a sentence; "" where there is no choice."""
        return backend_of(revision.backend).served(self._place(revision))

    def _members(self, shared: str) -> Sequence[Revision]:
        return [revision for revision in self.list() if revision.shared == shared]

    def _failure(self, revision: Revision) -> str:
        return backend_of(revision.backend).failure(self._repository(revision))

    def _cause(self, revision: Revision, since: int) -> str:
        return self._host(revision.target).cause(backend_of(revision.backend), revision, since)

    def _instance(self, revision: Revision) -> Instance:
        """Its server."""
        own = self._member(revision)
        return replace(own, folder=own.home) if revision.shared else own

    def _member(self, revision: Revision) -> Instance:
        """Its server as far as the revision alone goes: of a shared one, with what was laid out for this revision."""
        serve, _ = options.read(self._own(revision))
        backend = backend_of(revision.backend)
        return Instance(revision, backend, self._home(revision), self._repository(revision), serve, self.lease(revision))

    def _place(self, revision: Revision) -> Place:
        return self._host(revision.target).place(self._member(revision))

    def _host(self, target: str) -> Host:
        """InputError when servers can't run there from here."""
        if target not in self._hosts:
            raise InputError(f"servers can't run on target {target!r}.", where="revisions", remedy=f"Use {', '.join(self._hosts)}.")
        if target not in self._made:
            self._made[target] = self._hosts[target]()
        return self._made[target]

    def _read(self, pattern: str) -> Sequence[Revision]:
        files = sorted(self._settings.revisions.glob(pattern))
        return [revision for path in files if (revision := Revision.read(path.parent)) is not None]

    def _lock(self, revision: Revision) -> str:
        """The lock of a server: whoever starts or ends it holds it."""
        return revision.name.removeprefix("revision-")

    def _folder(self, model: str, version: str, number: int = 1) -> Path:
        own = self._settings.revisions / model / version
        return own if number == 1 else own / REPLICAS / str(number)

    def _own(self, revision: Revision) -> Path:
        """The folder of this server."""
        return self._folder(revision.model, revision.version, revision.number)

    def _repository(self, revision: Revision) -> Path:
        return self._own(revision) / REPOSITORY

    def _home(self, revision: Revision) -> Path:
        """Where its server lives."""
        return self._settings.revisions / SHARED / revision.shared if revision.shared else self._own(revision)

    def _name(self, revision: Revision) -> str:
        return f"revision {revision.version} of {revision.model}" + (f", server {revision.number}" if revision.number > 1 else "")
