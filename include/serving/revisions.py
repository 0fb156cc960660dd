"""Revisions: each version a server of its own, whatever inference server it is and wherever it runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.backends import options
from include.backends.backend import Place
from include.backends.registry import backend as backend_of
from include.errors import ComponentError, InputError, UpdraftError
from include.gateway.endpoint import Endpoint
from include.runtime.settings import Settings
from include.runtime.supervisor import State, Supervisor
from include.runtime.waiting import until
from include.serving import halted, standby
from include.serving.docker import DockerHost
from include.serving.glimpse import glimpse
from include.serving.host import Host, Instance, ProcessHost
from include.serving.kubernetes.host import KubernetesHost
from include.serving.lease import RevisionLease
from include.serving.locks import is_locked, locked
from include.serving.observed import Observed
from include.serving.revision import REPOSITORY, Revision, RevisionState
from include.spec.serve import Serve

SHARED = ".shared"
"""The folder of the servers that serve several revisions."""
POLL_S = 0.05
Hosts = Mapping[str, Callable[[], Host]]


class Revisions:
    """Starts, stops and asks after revisions. Every call may be repeated, whatever became of the one before.

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

    def start(
        self,
        bundle: Path,
        model: str,
        version: str,
        serve: Serve,
        params: Mapping[str, Any] | None = None,
        lease: RevisionLease | None = None,
        target: str = ProcessHost.name,
    ) -> Revision:
        """A ready revision of the bundle: the running one when it is the same, otherwise a new one in its place.

        It runs on the host of that target and sees the GPU that ``lease`` holds.

        InputError when the bundle or the version is no good; ComponentError with the server's own words when it does not become ready
        within ``serve.start_timeout_s`` seconds. Nothing is left running or on disk after either.
        """
        if not version.isdigit() or int(version) < 1:
            raise InputError(f"{version!r} is no model version.", where=f"revision of {model}", remedy="Use the registry's number, from 1.")
        backend, host = backend_of(serve.backend), self._host(target)
        values = dict(params if params is not None else _defaults(serve))
        digest = _digest(backend.digest(bundle), serve, values)
        Endpoint(model, version, 1)  # refuses names that could not be served
        host.prepare(backend, serve)
        with locked(self._settings, f"{model}-{version}"):
            try:
                folder = self._folder(model, version)
                known = Revision.read(folder)
                if known is None or (known.digest, known.target) != (digest, target) or not (folder / REPOSITORY).exists():
                    self._clear(model, version, target)
                    backend.lay_out(bundle, folder / REPOSITORY, model, version, serve, values)
                    options.save(folder, serve, values)  # before anybody can find the revision
                    known = self._reserve(model, version, digest, serve, bundle, target)
                if lease is not None:
                    self._home(known).mkdir(parents=True, exist_ok=True)
                    lease.save(self._home(known))
                standby.end(folder)
                halted.end(folder)
                host.fit(self._instance(known))
                self._launch(known, serve.start_timeout_s)
                return known
            except OSError as error:
                self._clear(model, version, target)
                raise ComponentError(f"could not be written ({error}).", where=str(folder), remedy="Is the disk full?") from error
            except BaseException:
                self._clear(model, version, target)
                raise

    def stop(self, revision: Revision) -> None:
        """End its server and all its processes, and forget it. Absent is fine. Take its traffic away and drain it first."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            self._clear(revision.model, revision.version, revision.target)

    def pause(self, revision: Revision) -> None:
        """End its server and keep everything else: :meth:`resume` starts it again. Its callers get errors meanwhile, as do those of
        revisions that share the server."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            self._host(revision.target).pause(revision.program)

    def resume(self, revision: Revision, lease: RevisionLease | None = None) -> None:
        """Start the server of a paused revision on the GPU that ``lease`` holds (None: as it was); it may not be ready yet when this
        returns.

        A revision that was stopped or halted meanwhile stays so.
        """
        self._host(revision.target).prepare(backend_of(revision.backend), self._instance(revision).serve)
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision and not halted.is_halted(folder):
                if lease is not None:
                    lease.save(self._home(revision))
                self._run(revision)

    def restart(self, revision: Revision) -> None:
        """End its server and start it anew where it was; it may not be ready yet when this returns. All that share the server restart."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision and not halted.is_halted(folder):
                self._host(revision.target).pause(revision.program)
                self._run(revision)

    def halt(self, revision: Revision) -> None:
        """End its server until :meth:`unhalt`; everything else is kept, its ports and its place at the gateway too. Its lease is the
        keeper's to give back."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision:
                halted.save(folder, time.time())  # first: should this be killed in between, nobody starts it again
                self._host(revision.target).pause(revision.program)

    def unhalt(self, revision: Revision) -> None:
        """Let it run again: :meth:`resume` starts it, or the keeper once it has a GPU."""
        halted.end(self._folder(revision.model, revision.version))

    def halted(self, revision: Revision) -> bool:
        """Whether a person has stopped it."""
        return halted.is_halted(self._folder(revision.model, revision.version))

    def busy(self, revision: Revision) -> bool:
        """Whether somebody is starting or ending it now."""
        return is_locked(self._settings, f"{revision.model}-{revision.version}")

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
        """What changes, by revision's name, when something is done to one of them or its server (:mod:`include.serving.glimpse`)."""
        return glimpse(self._host, lambda one: {self._folder(one.model, one.version), self._home(one)}, revisions)

    def revive(self, revision: Revision) -> None:
        """Start the server of a revision whose folder is there and which nobody runs (after a restore); it may not be ready yet when this
        returns. One that waits for a GPU is left to who keeps its lease."""
        lease = self.lease(revision)
        if lease is not None and not lease.held:
            return
        self.resume(revision)

    def check_gpu(self, serve: Serve, target: str) -> None:
        """InputError when its server could be given no GPU there, as far as can be told before there is a lease."""
        self._host(target).check_gpu(backend_of(serve.backend).runtime(serve))

    def lease(self, revision: Revision) -> RevisionLease | None:
        """What its server asks of the GPU pool and holds; None when it needs no GPU."""
        return RevisionLease.read(self._home(revision))

    def shared_lease(self, bundle: Path, serve: Serve) -> RevisionLease | None:
        """What the server holds that a revision of the bundle would share with others; None when there is none, or it holds nothing."""
        shared = backend_of(serve.backend).shared(bundle, serve)
        lease = RevisionLease.read(self._settings.revisions / SHARED / shared) if shared else None
        return lease if lease is not None and lease.held else None

    def keep_lease(self, revision: Revision, lease: RevisionLease) -> None:
        """Write down what it holds now, unless it was stopped meanwhile."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision:
                lease.save(self._home(revision))

    def stand_by(self, revision: Revision, seconds: float) -> None:
        """It runs on without traffic for this long; :meth:`start` makes it serve again. Said twice, the first time counts."""
        with locked(self._settings, f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision and standby.read(folder) is None:
                standby.save(folder, time.time() + seconds)

    def standby(self, revision: Revision) -> float | None:
        """Until when (seconds since the epoch) it stands by; None when it doesn't."""
        return standby.read(self._folder(revision.model, revision.version))

    def find(self, model: str, version: str) -> Revision | None:
        """The revision as it was started, whatever its state; None when there is none."""
        return Revision.read(self._folder(model, version))

    def list(self, model: str | None = None) -> list[Revision]:
        """Every revision that was started and not stopped."""
        files = sorted(self._settings.revisions.glob(f"{model or '*'}/*/revision.json"))
        return [revision for path in files if (revision := Revision.read(path.parent)) is not None]

    def state(self, revision: Revision) -> RevisionState:
        """RUNNING only when the server says that this version is ready."""
        program = self._host(revision.target).state(revision.program)
        if program is State.ABSENT:
            lease = None if self.halted(revision) else self.lease(revision)
            return RevisionState.PREEMPTED if lease is not None and not lease.held else RevisionState.STOPPED
        if program is State.STOPPING:
            return RevisionState.STOPPING
        if not program.alive:
            return RevisionState.ERROR
        if self.ready(revision):
            return RevisionState.RUNNING
        return RevisionState.ERROR if self._failure(revision) else RevisionState.STARTING

    def ready(self, revision: Revision) -> bool:
        """Whether this very version answers now."""
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

    def _launch(self, revision: Revision, timeout_s: float) -> None:
        backend_of(revision.backend).check(self._repository(revision), revision.model, revision.version)
        logged = self._host(revision.target).logged(revision)
        self._run(revision)
        self._wait_ready(revision, timeout_s, logged)
        self._learn(revision, logged)

    def _learn(self, revision: Revision, logged: int) -> None:
        """Keep what its server said at this start of the memory that it takes. A server that serves is not given up for that."""
        host, own = self._host(revision.target), self._member(revision)
        try:
            own.backend.learn(own.folder, own.serve, host.start_log(revision, logged), self._settings.observations)
        except (OSError, UpdraftError) as error:
            print(f"{self._name(revision)}: what it said of its memory is not kept: {error}", flush=True)

    def _run(self, revision: Revision) -> None:
        """Start its server; one that is shared takes it in, and is started if it does not run yet."""
        if not revision.shared:
            return self._host(revision.target).run(self._instance(revision))
        with locked(self._settings, revision.shared):
            backend, home = backend_of(revision.backend), self._home(revision)
            backend.lay_out_shared(home, self._repository(revision))
            backend.share(home, [self._place(member) for member in self._members(revision.shared)])
            self._host(revision.target).run(self._instance(revision))

    def _end(self, revision: Revision) -> None:
        """End its server; one that is shared gives it up once its answers are finished, and ends with the last."""
        if not revision.shared:
            return self._host(revision.target).end(revision.program)
        with locked(self._settings, revision.shared):
            backend, home = backend_of(revision.backend), self._home(revision)
            others = [member for member in self._members(revision.shared) if member != revision]
            if home.exists():
                backend.share(home, [self._place(member) for member in others if self._whole(member)])
                self._wait_left(revision)
            self._host(revision.target).leave(revision)
            if not others:
                self._host(revision.target).end(revision.shared)
                shutil.rmtree(home, ignore_errors=True)

    def _wait_left(self, revision: Revision) -> None:
        """Until its shared server has finished its answers, at most as long as a server may take to end."""
        if not self._whole(revision):
            return
        backend, home, place = backend_of(revision.backend), self._home(revision), self._place(revision)
        until(lambda: backend.left(home, place), self._host(revision.target).launch(self._instance(revision)).stop.wait_s, POLL_S)

    def _whole(self, revision: Revision) -> bool:
        """Whether what it was started with is still on disk: one that has lost it can be stopped all the same."""
        return (self._folder(revision.model, revision.version) / options.FILE).exists()

    def _members(self, shared: str) -> Sequence[Revision]:
        return [revision for revision in self.list() if revision.shared == shared]

    def _failure(self, revision: Revision) -> str:
        return backend_of(revision.backend).failure(self._repository(revision))

    def _wait_ready(self, revision: Revision, timeout_s: float, logged: int) -> None:
        if not until(lambda: self._is_ready(revision, logged), timeout_s, POLL_S):
            raise ComponentError(
                f"not ready within {timeout_s:g} s: {self._cause(revision, logged)}",
                where=self._name(revision),
                remedy="Raise serve.start_timeout_s if the model needs longer.",
            )

    def _is_ready(self, revision: Revision, logged: int) -> bool:
        """Whether it is; ComponentError when it will not be."""
        if self.ready(revision):
            return True
        if why := self._failure(revision):
            raise ComponentError(f"the server could not load it: {why}", where=self._name(revision))
        state = self._host(revision.target).state(revision.program)
        if state in (State.BACKOFF, State.FATAL, State.EXITED, State.STOPPED, State.ABSENT):
            raise self._host(revision.target).failure(backend_of(revision.backend), revision, logged)
        return False

    def _cause(self, revision: Revision, since: int) -> str:
        return self._host(revision.target).cause(backend_of(revision.backend), revision, since)

    def _instance(self, revision: Revision) -> Instance:
        """Its server."""
        own = self._member(revision)
        return replace(own, folder=own.home) if revision.shared else own

    def _member(self, revision: Revision) -> Instance:
        """Its server as far as the revision alone goes: of a shared one, with what was laid out for this revision."""
        serve, _ = options.read(self._folder(revision.model, revision.version))
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

    def _reserve(self, model: str, version: str, digest: str, serve: Serve, bundle: Path, target: str) -> Revision:
        """Choose where it listens and write it down in one step, so that no two revisions take the same ports."""
        with locked(self._settings, "ports"):
            taken = {port for revision in self.list() for port in revision.ports}
            backend, host = backend_of(serve.backend), self._host(target)
            at, protocol = host.address(model, version, backend, serve, taken), backend.protocol(serve)
            ports = (at.http_port, at.port2, at.port3)
            shared = backend.shared(bundle, serve)
            revision = Revision(model, version, at.host, *ports, digest, serve.request_timeout_s, serve.backend, shared, target, protocol)
            launch = host.launch(self._member(revision))
            revision = replace(revision, health=launch.probes.ready, passes=backend.passes(serve), offers=backend.offers(bundle, serve))
            revision.save(self._folder(model, version))
        return revision

    def _clear(self, model: str, version: str, target: str) -> None:
        if (known := self.find(model, version)) is not None:
            self._end(known)
        else:  # nothing is known of it any more, or not yet
            self._host(target).end(f"revision-{model}-{version}")
        shutil.rmtree(self._folder(model, version), ignore_errors=True)

    def _folder(self, model: str, version: str) -> Path:
        return self._settings.revisions / model / version

    def _repository(self, revision: Revision) -> Path:
        return self._folder(revision.model, revision.version) / REPOSITORY

    def _home(self, revision: Revision) -> Path:
        """Where its server lives."""
        return self._settings.revisions / SHARED / revision.shared if revision.shared else self._folder(revision.model, revision.version)

    def _name(self, revision: Revision) -> str:
        return f"revision {revision.version} of {revision.model}"


def _defaults(serve: Serve) -> dict[str, Any]:
    return {name: getattr(value, "default", value) for name, value in serve.params.items()}


def _digest(bundle: str, serve: Serve, params: Mapping[str, Any]) -> str:
    options = json.dumps([serve.model_dump(mode="json"), dict(params)], sort_keys=True)
    return hashlib.sha256(f"{bundle}\n{options}".encode()).hexdigest()
