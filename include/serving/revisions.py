"""Revisions: each version a server of its own, or several, whatever inference server it is and wherever it runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.backends import options
from include.backends.registry import backend as backend_of
from include.errors import ComponentError, InputError, UpdraftError
from include.gateway.endpoint import Endpoint, server_name
from include.runtime.supervisor import State
from include.runtime.waiting import until
from include.serving import halted, standby
from include.serving.host import ProcessHost
from include.serving.lease import RevisionLease
from include.serving.locks import locked
from include.serving.revision import FILE, REPOSITORY, Revision
from include.serving.servers import REPLICAS, SHARED, Hosts, Servers
from include.spec.serve import Serve

__all__ = ["SHARED", "Hosts", "Revisions"]
POLL_S = 0.05


class Revisions(Servers):
    """Starts and stops revisions. Every call may be repeated, whatever became of the one before.

    A revision is known by its first server; what others it has (``number`` from 2) come and go while it is there, and end with it.
    """

    def start(
        self,
        bundle: Path,
        model: str,
        version: str,
        serve: Serve,
        params: Mapping[str, Any] | None = None,
        lease: RevisionLease | None = None,
        target: str = ProcessHost.name,
        number: int = 1,
    ) -> Revision:
        """A ready revision of the bundle: the running one when it is the same, otherwise a new one in its place. From ``number`` 2 on, one
        more server of the revision that is there.

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
        with locked(self._settings, server_name(model, version, number).removeprefix("revision-")):
            try:
                folder = self._folder(model, version, number)
                if number > 1:
                    self._insist_on_first(model, version, digest, target)
                known = Revision.read(folder)
                if known is None or (known.digest, known.target) != (digest, target) or not (folder / REPOSITORY).exists():
                    self._clear(model, version, target, number)
                    backend.lay_out(bundle, folder / REPOSITORY, model, version, serve, values)
                    options.save(folder, serve, values)  # before anybody can find the revision
                    known = self._reserve(model, version, digest, serve, bundle, target, number)
                if lease is not None:
                    self._home(known).mkdir(parents=True, exist_ok=True)
                    lease.save(self._home(known))
                standby.end(folder)
                halted.end(folder)
                host.fit(self._instance(known))
                self._launch(known, serve.start_timeout_s)
                return known
            except OSError as error:
                self._clear(model, version, target, number)
                raise ComponentError(f"could not be written ({error}).", where=str(folder), remedy="Is the disk full?") from error
            except BaseException:
                self._clear(model, version, target, number)
                raise

    def stop(self, revision: Revision) -> None:
        """End its server and all its processes, and forget it. Absent is fine. Take its traffic away and drain it first."""
        with locked(self._settings, self._lock(revision)):
            self._clear(revision.model, revision.version, revision.target, revision.number)

    def pause(self, revision: Revision) -> None:
        """End its server and keep everything else: :meth:`resume` starts it again. Its callers get errors meanwhile, as do those of
        revisions that share the server."""
        with locked(self._settings, self._lock(revision)):
            self._host(revision.target).pause(revision.program)

    def resume(self, revision: Revision, lease: RevisionLease | None = None) -> None:
        """Start the server of a paused revision on the GPU that ``lease`` holds (None: as it was); it may not be ready yet when this
        returns.

        A revision that was stopped or halted meanwhile stays so.
        """
        self._host(revision.target).prepare(backend_of(revision.backend), self._instance(revision).serve)
        with locked(self._settings, self._lock(revision)):
            folder = self._own(revision)
            if Revision.read(folder) == revision and not halted.is_halted(folder):
                if lease is not None:
                    lease.save(self._home(revision))
                self._run(revision)

    def restart(self, revision: Revision) -> None:
        """End its server and start it anew where it was; it may not be ready yet when this returns. All that share the server restart."""
        with locked(self._settings, self._lock(revision)):
            folder = self._own(revision)
            if Revision.read(folder) == revision and not halted.is_halted(folder):
                self._host(revision.target).pause(revision.program)
                self._run(revision)

    def halt(self, revision: Revision) -> None:
        """End its servers until :meth:`unhalt`, those beside the first for good; everything else is kept, its ports and its place at the
        gateway too. Its lease is the keeper's to give back."""
        with locked(self._settings, self._lock(revision)):
            folder = self._own(revision)
            if Revision.read(folder) == revision:
                halted.save(folder, time.time())  # first: should this be killed in between, nobody starts it again
                self._clear_replicas(revision.model, revision.version)
                self._host(revision.target).pause(revision.program)

    def unhalt(self, revision: Revision) -> None:
        """Let it run again: :meth:`resume` starts it, or the keeper once it has a GPU."""
        halted.end(self._own(revision))

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

    def keep_lease(self, revision: Revision, lease: RevisionLease) -> None:
        """Write down what it holds now, unless it was stopped meanwhile."""
        with locked(self._settings, self._lock(revision)):
            folder = self._own(revision)
            if Revision.read(folder) == revision:
                lease.save(self._home(revision))

    def stand_by(self, revision: Revision, seconds: float) -> None:
        """It runs on without traffic for this long; :meth:`start` makes it serve again. Said twice, the first time counts."""
        with locked(self._settings, self._lock(revision)):
            folder = self._own(revision)
            if Revision.read(folder) == revision and standby.read(folder) is None:
                standby.save(folder, time.time() + seconds)

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
        return (self._own(revision) / options.FILE).exists()

    def _wait_ready(self, revision: Revision, timeout_s: float, logged: int) -> None:
        if not until(lambda: self._is_ready(revision, logged), timeout_s, POLL_S):
            raise ComponentError(
                f"not ready within {timeout_s:g} s: {self._cause(revision, logged)}",
                where=self._name(revision),
                remedy="Raise serve.start_timeout_s if the model needs longer.",
            )

    def _is_ready(self, revision: Revision, logged: int) -> bool:
        """Whether it is; ComponentError when it will not be."""
        if self.answers(revision):
            return True
        if why := self._failure(revision):
            raise ComponentError(f"the server could not load it: {why}", where=self._name(revision))
        state = self._host(revision.target).state(revision.program)
        if state in (State.BACKOFF, State.FATAL, State.EXITED, State.STOPPED, State.ABSENT):
            raise self._host(revision.target).failure(backend_of(revision.backend), revision, logged)
        return False

    def _insist_on_first(self, model: str, version: str, digest: str, target: str) -> None:
        """InputError when there is no first server to stand beside, or none that others can stand beside."""
        first, where = self.find(model, version), f"revision {version} of {model}"
        if first is None or (first.digest, first.target) != (digest, target) or self.halted(first):
            raise InputError("its first server is not there, or is another's by now.", where=where)
        if first.shared:
            raise InputError("it shares its server with others, and can't have several.", where=where, remedy="Set serve.replicas.max: 1.")

    def _reserve(self, model: str, version: str, digest: str, serve: Serve, bundle: Path, target: str, number: int) -> Revision:
        """Choose where it listens and write it down in one step, so that no two servers take the same ports."""
        with locked(self._settings, "ports"):
            taken = {port for revision in self.servers() for port in revision.ports}
            backend, host = backend_of(serve.backend), self._host(target)
            at, protocol = host.address(model, version, backend, serve, taken), backend.protocol(serve)
            ports = (at.http_port, at.port2, at.port3)
            shared = backend.shared(bundle, serve)
            revision = Revision(model, version, at.host, *ports, digest, serve.request_timeout_s, serve.backend, shared, target, protocol)
            revision = replace(revision, number=number)
            launch = host.launch(self._member(revision))
            revision = replace(revision, health=launch.probes.ready, passes=backend.passes(serve), offers=backend.offers(bundle, serve))
            revision.save(self._own(revision))
        return revision

    def _clear(self, model: str, version: str, target: str, number: int = 1) -> None:
        """End a server and forget it; with the first of a revision go the others."""
        if number == 1:
            self._clear_replicas(model, version)
        folder = self._folder(model, version, number)
        if (known := Revision.read(folder)) is not None:
            self._end(known)
        else:  # nothing is known of it any more, or not yet
            self._host(target).end(server_name(model, version, number))
        shutil.rmtree(folder, ignore_errors=True)

    def _clear_replicas(self, model: str, version: str) -> None:
        for server in self._read(f"{model}/{version}/{REPLICAS}/*/{FILE}"):
            self._host(server.target).end(server.program)  # whoever waits for its start sees that, and lets go of its lock
            with locked(self._settings, self._lock(server)):
                self._clear(model, version, server.target, server.number)


def _defaults(serve: Serve) -> dict[str, Any]:
    return {name: getattr(value, "default", value) for name, value in serve.params.items()}


def _digest(bundle: str, serve: Serve, params: Mapping[str, Any]) -> str:
    # How many servers there are makes no other server of any of them.
    options = json.dumps([serve.model_dump(mode="json", exclude={"replicas"}), dict(params)], sort_keys=True)
    return hashlib.sha256(f"{bundle}\n{options}".encode()).hexdigest()
