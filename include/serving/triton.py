"""Triton revisions on target `process`: each version its own server, under supervisord."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError
from include.gateway.endpoint import Endpoint
from include.platform.settings import Settings
from include.platform.supervisor import Program, State, Supervisor
from include.serving.bundle import Bundle
from include.serving.cause import last_cause
from include.serving.lease import RevisionLease
from include.serving.ports import free_ports
from include.serving.repository import check_repository, write_repository
from include.serving.revision import Revision, RevisionState
from include.serving.runtime import TritonRuntime, find_runtime
from include.spec.schema import Serve

GUARD = Path(__file__).with_name("guard.py")
EXIT_S = 1
"""Triton waits this long for requests and open connections when asked to end; the guard kills it later, supervisord later still."""
STOP_WAIT_S = 8.0
POLL_S = 0.05
PROBE_S = 2.0


class TritonBackend:
    """Starts, stops and asks after revisions. Every call may be repeated, whatever became of the one before."""

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None) -> None:
        self._settings = settings
        self._supervisor = supervisor or Supervisor(settings)

    def start(
        self,
        bundle: Path,
        model: str,
        version: str,
        serve: Serve,
        params: Mapping[str, Any] | None = None,
        lease: RevisionLease | None = None,
    ) -> Revision:
        """A ready revision of the bundle: the running one when it is the same, otherwise a new one in its place.

        It sees the GPU that ``lease`` holds.

        InputError when the bundle or the version is no good; ComponentError with the server's own words when it does not become ready
        within ``serve.start_timeout_s`` seconds. Nothing is left running or on disk after either.
        """
        if not version.isdigit() or int(version) < 1:
            raise InputError(f"{version!r} is no model version.", where=f"revision of {model}", remedy="Use the registry's number, from 1.")
        checked = Bundle.read(bundle)
        wrapper_params = dict(params if params is not None else _defaults(serve))
        digest = _digest(checked, serve, wrapper_params)
        Endpoint(model, version, 1)  # refuses names that could not be served
        runtime = find_runtime(self._settings)
        with self._lock(f"{model}-{version}"):
            try:
                folder = self._folder(model, version)
                known = Revision.read(folder)
                if known is None or known.digest != digest or not (folder / "repository").exists():
                    self._clear(model, version)
                    write_repository(checked, folder / "repository", model, version, serve, wrapper_params)
                    known = self._reserve(model, version, digest, serve)
                if lease is not None:
                    lease.save(folder)
                self._launch(known, serve, runtime)
                return known
            except OSError as error:
                self._clear(model, version)
                raise ComponentError(f"could not be written ({error}).", where=str(folder), remedy="Is the disk full?") from error
            except BaseException:
                self._clear(model, version)
                raise

    def stop(self, revision: Revision) -> None:
        """End its server and all its processes, and forget it. Absent is fine. Take its traffic away and drain it first."""
        with self._lock(f"{revision.model}-{revision.version}"):
            self._clear(revision.model, revision.version)

    def pause(self, revision: Revision) -> None:
        """End its server and keep everything else: :meth:`resume` starts it again. Its callers get errors meanwhile."""
        with self._lock(f"{revision.model}-{revision.version}"):
            self._supervisor.stop_program(revision.program)

    def resume(self, revision: Revision, lease: RevisionLease) -> None:
        """Start the server of a paused revision on the GPU that ``lease`` holds; it may not be ready yet when this returns.

        A revision that was stopped meanwhile stays so.
        """
        runtime = find_runtime(self._settings)
        with self._lock(f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision:
                lease.save(folder)
                self._supervisor.start_program(self._program(revision, runtime))

    def lease(self, revision: Revision) -> RevisionLease | None:
        """What it asks of the GPU pool and holds; None when it needs no GPU."""
        return RevisionLease.read(self._folder(revision.model, revision.version))

    def keep_lease(self, revision: Revision, lease: RevisionLease) -> None:
        """Write down what it holds now, unless it was stopped meanwhile."""
        with self._lock(f"{revision.model}-{revision.version}"):
            folder = self._folder(revision.model, revision.version)
            if Revision.read(folder) == revision:
                lease.save(folder)

    def find(self, model: str, version: str) -> Revision | None:
        """The revision as it was started, whatever its state; None when there is none."""
        return Revision.read(self._folder(model, version))

    def list(self, model: str | None = None) -> list[Revision]:
        """Every revision that was started and not stopped."""
        files = sorted(self._settings.revisions.glob(f"{model or '*'}/*/revision.json"))
        return [revision for path in files if (revision := Revision.read(path.parent)) is not None]

    def state(self, revision: Revision) -> RevisionState:
        """RUNNING only when the server says that this version is ready."""
        program = self._supervisor.state(revision.program)
        if program is State.ABSENT:
            lease = self.lease(revision)
            return RevisionState.PREEMPTED if lease is not None and not lease.held else RevisionState.STOPPED
        if program is State.STOPPING:
            return RevisionState.STOPPING
        if not program.alive:
            return RevisionState.ERROR
        return RevisionState.RUNNING if is_ready(revision) else RevisionState.STARTING

    def cause(self, revision: Revision) -> str:
        """What the server last complained about, for people."""
        return last_cause(self._log(revision))

    def _launch(self, revision: Revision, serve: Serve, runtime: TritonRuntime) -> None:
        check_repository(self._folder(revision.model, revision.version) / "repository", revision.model, revision.version)
        self._supervisor.start_program(self._program(revision, runtime))
        self._wait_ready(revision, serve.start_timeout_s)

    def _wait_ready(self, revision: Revision, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_ready(revision):
            state = self._supervisor.state(revision.program)
            if state in (State.BACKOFF, State.FATAL, State.EXITED, State.STOPPED, State.ABSENT):
                raise ComponentError(f"the server ended while it loaded the model: {self.cause(revision)}", where=self._name(revision))
            if time.monotonic() > deadline:
                raise ComponentError(
                    f"not ready within {timeout_s:g} s: {self.cause(revision)}",
                    where=self._name(revision),
                    remedy="Raise serve.start_timeout_s if the model needs longer.",
                )
            time.sleep(POLL_S)

    def _program(self, revision: Revision, runtime: TritonRuntime) -> Program:
        folder = self._folder(revision.model, revision.version)
        lease = RevisionLease.read(folder)
        prefix = f"updraft_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}_"
        server = (
            str(runtime.server),
            f"--model-repository={folder / 'repository'}",
            f"--backend-directory={runtime.backends}",
            "--model-control-mode=explicit",
            f"--load-model={revision.model}",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_S}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            *(f"--{kind}-address={revision.host}" for kind in ("http", "grpc", "metrics")),
            *(f"--{kind}-port={port}" for kind, port in zip(("http", "grpc", "metrics"), revision.ports, strict=True)),
        )
        return Program(
            name=revision.program,
            command=(str(runtime.python), str(GUARD), prefix, "--", *server),
            directory=folder,
            log=self._log(revision),
            environment=runtime.environment() | dict(lease.environment if lease else {}),
            stop_wait_s=STOP_WAIT_S,
            # A start that fails is reported by start(); later, a server that keeps dying is given up after these.
            start_retries=5,
        )

    def _reserve(self, model: str, version: str, digest: str, serve: Serve) -> Revision:
        """Choose ports and write them down in one step, so that no two revisions take the same."""
        with self._lock("ports"):
            taken = {port for revision in self.list() for port in revision.ports}
            http, grpc, metrics = free_ports(self._settings.host, self._settings.revision_ports, taken, 3)
            revision = Revision(model, version, self._settings.host, http, grpc, metrics, digest, serve.request_timeout_s)
            revision.save(self._folder(model, version))
        return revision

    def _clear(self, model: str, version: str) -> None:
        self._supervisor.stop_program(f"revision-{model}-{version}")
        shutil.rmtree(self._folder(model, version), ignore_errors=True)

    def _folder(self, model: str, version: str) -> Path:
        return self._settings.revisions / model / version

    def _log(self, revision: Revision) -> Path:
        return self._settings.logs / f"{revision.program}.log"

    def _name(self, revision: Revision) -> str:
        return f"revision {revision.version} of {revision.model}"

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        folder = self._settings.revisions / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def is_ready(revision: Revision, timeout_s: float = PROBE_S) -> bool:
    """Whether this very version is ready (the server's own readiness is about all of them together)."""
    url = f"{revision.url}/v2/models/{revision.model}/versions/{revision.version}/ready"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _defaults(serve: Serve) -> dict[str, Any]:
    return {name: getattr(value, "default", value) for name, value in serve.params.items()}


def _digest(bundle: Bundle, serve: Serve, params: Mapping[str, Any]) -> str:
    options = json.dumps([serve.model_dump(mode="json"), dict(params)], sort_keys=True)
    return hashlib.sha256(f"{bundle.digest()}\n{options}".encode()).hexdigest()
