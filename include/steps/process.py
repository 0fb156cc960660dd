"""Target `process`: a step is a process of this machine, run by supervisord, so it outlives the Airflow task that asked for it.

A step is known by its run and its name. Asking again reconnects to the one that runs, or returns what it has produced, as long as
the request, the model's code and the runtime are unchanged; it never runs twice at once.

A step that is started again (stopped for others, killed, failed) finds what it kept in ``$UPDRAFT_CHECKPOINTS``: a folder that stays the
same for the same request, code and runtime.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from include.errors import ComponentError, InputError, UpdraftError
from include.platform.settings import REPO, Settings
from include.platform.supervisor import Program, State, Supervisor
from include.steps import lease as leases
from include.steps.context import Request

LOG_CHUNK = 256 * 1024
CODE_SUFFIXES = (".py", ".yaml", ".yml")


class StepState(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Step:
    """A submitted step: its program's name at supervisord and its folder."""

    name: str
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"


def step_of(settings: Settings, run_key: str, step: str) -> Step:
    """The step of a run; nothing needs to exist yet."""
    digest = hashlib.sha256(run_key.encode()).hexdigest()[:10]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", run_key).strip("-")[-60:]
    return Step(f"step-{digest}-{step.replace('.', '-')}", settings.steps / f"{slug}-{digest}" / step)


class ProcessTarget:
    """Submits, watches and stops steps on this machine."""

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None) -> None:
        self._settings = settings
        self._supervisor = supervisor or Supervisor(settings)

    def submit(
        self, request: Request, runtime: str, environment: Mapping[str, str] | None = None, lease: tuple[str, float] | None = None
    ) -> Step:
        """Start the step, or find the one that runs or has finished with the same inputs.

        ``lease``: the id of the GPU lease that the environment is of, and until when it is good (monotonic clock). A step that runs under
        another lease uses what is another's by now: it is stopped and started anew.
        """
        step = step_of(self._settings, request.run_key, request.step)
        fingerprint = self._fingerprint(request, runtime)
        with self._lock(step):
            known = _read(step.folder / "fingerprint") == fingerprint
            state = self.state(step) if known else StepState.FAILED
            moved = lease is not None and state is StepState.RUNNING and leases.lease_of(step.folder) != lease[0]
            if state is StepState.FAILED or moved:
                self._start(step, request, runtime, fingerprint, environment or {}, lease)
        return step

    def finished(self, request: Request, runtime: str) -> bool:
        """Whether the step has a result already, of the same inputs."""
        step = step_of(self._settings, request.run_key, request.step)
        return _read(step.folder / "fingerprint") == self._fingerprint(request, runtime) and (step.folder / "result.json").exists()

    def _fingerprint(self, request: Request, runtime: str) -> str:
        return _fingerprint(request, self._settings.runtimes / runtime / "updraft.lock")

    def _start(
        self,
        step: Step,
        request: Request,
        runtime: str,
        fingerprint: str,
        environment: Mapping[str, str],
        lease: tuple[str, float] | None,
    ) -> None:
        if not self._settings.python(runtime).exists():
            raise InputError(f"runtime {runtime} is not installed.", where=f"step {request.step}", remedy=f"Run `make install-{runtime}`.")
        self._supervisor.stop_program(step.name)
        shutil.rmtree(step.folder, ignore_errors=True)
        checkpoints = step.folder.parent / "checkpoints" / f"{request.step}-{fingerprint[:12]}"
        for folder in (step.out, step.folder / "tmp", checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        if lease is not None:
            leases.renew(step.folder, *lease)
        request.save(step.folder)
        (step.folder / "started_at").write_text(str(time.time()))
        (step.folder / "fingerprint").write_text(fingerprint)
        self._supervisor.start_program(
            Program(
                name=step.name,
                command=(str(self._settings.python(runtime)), "-m", "include.steps", str(step.folder)),
                directory=REPO,
                log=step.folder / "log.txt",
                environment=self._environment(step, runtime) | {"UPDRAFT_CHECKPOINTS": str(checkpoints)} | dict(environment),
                autorestart=False,
                start_s=0,
                start_retries=0,
            )
        )

    @contextmanager
    def _lock(self, step: Step) -> Iterator[None]:
        """One submission of a step at a time: two tries of a task may overlap when Airflow has given up on the first."""
        path = self._settings.steps / ".locks" / step.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def state(self, step: Step) -> StepState:
        """Whether the step runs, has produced its result, or ended without one."""
        if (step.folder / "result.json").exists():
            return StepState.SUCCEEDED
        alive = self._supervisor.state(step.name) in (State.STARTING, State.RUNNING, State.STOPPING)
        if alive:
            return StepState.RUNNING
        return StepState.SUCCEEDED if (step.folder / "result.json").exists() else StepState.FAILED

    def log(self, step: Step, offset: int, *, ended: bool = False) -> tuple[str, int]:
        """What the step has printed from byte ``offset`` on, and the next offset: whole lines, unless the step has ``ended``."""
        path = step.folder / "log.txt"
        try:
            with path.open("rb") as handle:
                handle.seek(offset)
                chunk = handle.read(LOG_CHUNK)
        except FileNotFoundError:
            return "", offset
        end = chunk.rfind(b"\n") + 1 or (len(chunk) if ended or len(chunk) == LOG_CHUNK else 0)
        return chunk[:end].decode(errors="replace"), offset + end

    def elapsed_s(self, step: Step) -> float:
        """Seconds since the step was submitted."""
        return time.time() - float(_read(step.folder / "started_at") or time.time())

    def result(self, step: Step) -> dict[str, Any]:
        """The finished step's result. Raises the error that the step met, in its own words."""
        self._supervisor.stop_program(step.name)  # forgets the ended program
        text = _read(step.folder / "result.json")
        if text is not None:
            result: dict[str, Any] = json.loads(text)
            return result
        raise _error(step)

    def keep(self, step: Step, lease: tuple[str, float]) -> None:
        """Its GPU lease was renewed: id, and until when it is good (monotonic clock)."""
        leases.renew(step.folder, *lease)

    def ask_to_stop(self, step: Step) -> None:
        """SIGTERM to the step's process, which under a lease raises SystemExit in the user's code; nothing is waited for."""
        self._supervisor.signal(step.name, "TERM")

    def stop(self, step: Step) -> None:
        """End the step and everything it started."""
        self._supervisor.stop_program(step.name)

    def kill(self, step: Step) -> None:
        """The same, without any grace."""
        self._supervisor.signal(step.name, "KILL")
        self.stop(step)

    def _environment(self, step: Step, runtime: str) -> dict[str, str]:
        return {
            "PYTHONPATH": str(REPO),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(step.folder / "tmp"),
            "PATH": f"{self._settings.python(runtime).parent}:/usr/local/bin:/usr/bin:/bin",
            "UPDRAFT_HOME": str(self._settings.home),
            "UPDRAFT_PORT_BASE": str(self._settings.port_base),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            # OpenMP's threads otherwise spin while they wait, which on a machine with other work takes up to ten times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            # A server that is away for a moment must not fail hours of training; one that stays away must be told.
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
        }


def _error(step: Step) -> UpdraftError:
    text = _read(step.folder / "error.json")
    if text is None:
        return ComponentError(
            "the process was ended from outside before it had a result (killed, or the machine was out of memory or disk space).",
            where=f"step {step.folder.name}",
            remedy="It is tried again; look at the log above for its last lines.",
        )
    error = json.loads(text)
    kind = InputError if error["kind"] == "input" else ComponentError
    return kind(error["what"], where=error["where"], remedy=error["remedy"])


def _fingerprint(request: Request, lock: Path) -> str:
    digest = hashlib.sha256(json.dumps([request.spec, request.params, request.inputs], sort_keys=True).encode())
    digest.update((_read(lock) or "").encode())
    folder = Path(request.spec).parent
    for path in sorted(folder.rglob("*")):
        if path.suffix in CODE_SUFFIXES and path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
