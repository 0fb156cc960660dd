"""Where a step runs. What all targets share is here; what differs is how a step is started, seen alive and ended.

A step is known by its run and its name. Asking again reconnects to the one that runs, or returns what it has produced, as long as
the request, the files it reads, the model's code and the runtime are unchanged; it never runs twice at once.

A step that is started again (stopped for others, killed, failed) finds what it kept in ``$UPDRAFT_CHECKPOINTS``: a folder that stays the
same for the same request, code and runtime.

Whoever asks for a step and the step itself talk through files in the step's folder, below ``Settings.steps``: both must see it at the same
path.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock

from include.errors import ComponentError, InputError, UpdraftError
from include.pool.ask import Ask
from include.runtime import untrusted
from include.runtime.layers import layered
from include.runtime.settings import REPO, Settings
from include.steps import checkpoints
from include.steps import lease as leases
from include.steps.context import StepRequest
from include.steps.ending import ERROR, read_error
from include.targets.fingerprint import Digests, fingerprint

LOG_CHUNK = 256 * 1024
SAID_BYTES = 64


class StepState(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Step:
    """A submitted step: the name by which its target knows it, and its folder."""

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


def ended_from_outside(step: Step, what: str) -> ComponentError:
    """Something that another try may not meet."""
    return ComponentError(what, where=f"step {step.folder.name}", remedy="It is tried again; look at the log above for its last lines.")


class Target(ABC):
    """Submits, watches and stops steps."""

    local: ClassVar[bool] = True
    """Steps run on the machine of whoever asks for them."""
    node_labels: ClassVar[Mapping[str, str]] = {}
    """What the nodes have in common whose GPUs a step can use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def identity(self, runtime: str) -> str:
        """What the runtime is made of (its lock, its image's digest): a change starts steps anew. InputError when it is not there.

        A name with a layer (``include.runtime.layers``) is a runtime like others."""

    @abstractmethod
    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        """Start ``python -m include.steps FOLDER`` in the runtime; what is left of an earlier try by that name is ended first."""

    @abstractmethod
    def alive(self, step: Step) -> bool:
        """Whether it is starting, running or stopping."""

    @abstractmethod
    def ask_to_stop(self, step: Step) -> None:
        """SIGTERM to the step's process, which under a lease raises SystemExit in the user's code; nothing is waited for."""

    @abstractmethod
    def stop(self, step: Step) -> None:
        """End the step and everything it started, and forget it; nothing happens when it is gone."""

    @abstractmethod
    def kill(self, step: Step) -> None:
        """The same, without any grace."""

    def check_gpu(self, runtime: str) -> None:
        """InputError when a step of that runtime could not use a GPU here, as far as can be told before there is a lease."""
        self.identity(runtime)

    def failure(self, step: Step) -> UpdraftError:
        """Why it ended with neither a result nor an error of its own, as far as the target can tell."""
        return ended_from_outside(
            step, "the process was ended from outside before it had a result (killed, or the machine was out of memory or disk space)."
        )

    def narrow(self, ask: Ask) -> Ask:
        """The ask, for GPUs that a step can use."""
        return ask.among(self.node_labels)

    def says(self, step: Step) -> str:
        """What keeps a submitted step from running, in a sentence; "" when nothing does, or nothing is known. Asked after :meth:`state`."""
        return ""

    def submit(
        self,
        request: StepRequest,
        runtime: str,
        environment: Mapping[str, str] | None = None,
        lease: tuple[str, float] | None = None,
        admit: Callable[[], Mapping[str, str]] = dict,
    ) -> Step:
        """Start the step, or find the one that runs or has finished with the same inputs.

        ``lease``: the id of the GPU lease that the environment is of, and until when it is good (monotonic clock). A step that runs under
        another lease uses what is another's by now: it is stopped and started anew. ``admit`` gives what else a new start finds in its
        environment, and is asked only for one, when nothing of the last is left.
        """
        step, runtime = step_of(self._settings, request.run_key, request.step), layered(runtime, Path(request.folder))
        fingerprint = self._fingerprint(request, runtime)
        with self._lock(step):
            known = _read(step.folder / "fingerprint") == fingerprint
            state = self.state(step) if known else StepState.FAILED
            moved = lease is not None and state is StepState.RUNNING and leases.lease_of(step.folder) != lease[0]
            if state is StepState.FAILED or moved:
                self.stop(step)
                kept = self._make_folders(step, request, fingerprint, lease)
                (step.folder / "runtime").write_text(runtime)  # for whoever runs the step again by hand
                self.start(step, request, runtime, {"UPDRAFT_CHECKPOINTS": str(kept), **(environment or {}), **admit()})
        return step

    def finished(self, request: StepRequest, runtime: str) -> bool:
        """Whether the step has a result already, of the same inputs."""
        step, runtime = step_of(self._settings, request.run_key, request.step), layered(runtime, Path(request.folder))
        known = _read(step.folder / "fingerprint") == self._fingerprint(request, runtime)
        return known and (step.folder / "result.json").exists()

    def state(self, step: Step) -> StepState:
        """Whether the step runs, has produced its result, or ended without one."""
        result = step.folder / "result.json"
        if not result.exists() and self.alive(step):
            return StepState.RUNNING
        return StepState.SUCCEEDED if result.exists() else StepState.FAILED

    def log(self, step: Step, offset: int, *, ended: bool = False) -> tuple[str, int]:
        """What the step has printed from byte ``offset`` on, and the next offset: whole lines, unless the step has ``ended``."""
        chunk = untrusted.read(step.folder / "log.txt", LOG_CHUNK, offset)
        if chunk is None:
            return "", offset
        end = chunk.rfind(b"\n") + 1 or (len(chunk) if ended or len(chunk) == LOG_CHUNK else 0)
        return chunk[:end].decode(errors="replace"), offset + end

    def elapsed_s(self, step: Step) -> float:
        """Seconds since the step was submitted."""
        return time.time() - float(_read(step.folder / "started_at") or time.time())

    def result(self, step: Step) -> dict[str, Any]:
        """The finished step's result. Raises the error that the step met, in its own words, and InputError for a result that no step has:
        what it has left may lead nowhere else, for the platform reads it with all its rights."""
        text = _read(step.folder / "result.json")
        error = None if text is not None else self._error(step)
        self.stop(step)  # forgets the ended program, and ends what it has left running
        if error:
            raise error
        untrusted.check_tree(step.out)
        try:
            result = json.loads(text or "")
        except (ValueError, RecursionError):
            result = None
        if not isinstance(result, dict):
            raise InputError("is no result.", where=f"step {step.folder.name}: result.json", remedy="The step's code must not touch it.")
        return result

    def saved(self, step: Step) -> str:
        """What the step has said of its last checkpoint: another text with each; "" if nothing. It holds no meaning besides."""
        name = (_read(step.folder / "fingerprint") or "")[:12]
        said = untrusted.read(_checkpoints(step, name) / checkpoints.FILE, SAID_BYTES) if name.isalnum() else None
        return (said or b"").decode(errors="replace")

    def keep(self, step: Step, lease: tuple[str, float]) -> None:
        """Its GPU lease was renewed: id, and until when it is good (monotonic clock)."""
        leases.renew(step.folder, *lease)

    def environment(self, step: Step) -> dict[str, str]:
        """What every step finds, wherever it runs."""
        return {
            "PYTHONPATH": str(REPO),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(step.folder / "tmp"),
            "UPDRAFT_HOME": str(self._settings.home),
            "UPDRAFT_PORT_BASE": str(self._settings.port_base),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            # OpenMP's threads otherwise spin while they wait, which on a machine with other work takes up to ten times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            # A server that is away for a moment must not fail hours of training; one that stays away must be told.
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
        }

    def _fingerprint(self, request: StepRequest, runtime: str) -> str:
        return fingerprint(request, self.identity(runtime), Digests(self._settings.steps / ".digests"))

    def _make_folders(self, step: Step, request: StepRequest, fingerprint: str, lease: tuple[str, float] | None) -> Path:
        """The step's folder as new, and that of its checkpoints as it was: the latter's path."""
        shutil.rmtree(step.folder, ignore_errors=True)
        kept = _checkpoints(step, fingerprint[:12])
        for place in (step.folder, kept.parent, kept):
            if place.is_symlink():  # a step that may write beside its folder, as pods may, has put it there
                place.unlink()
        for folder in (step.out, step.folder / "tmp", kept):
            folder.mkdir(parents=True, exist_ok=True)
        if lease is not None:
            leases.renew(step.folder, *lease)
        request.save(step.folder)
        (step.folder / "started_at").write_text(str(time.time()))
        (step.folder / "fingerprint").write_text(fingerprint)
        return kept

    @contextmanager
    def _lock(self, step: Step) -> Iterator[None]:
        """One submission of a step at a time: two tries of a task may overlap when Airflow has given up on the first."""
        path = self._settings.steps / ".locks" / step.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield

    def _error(self, step: Step) -> UpdraftError:
        return read_error(step.folder / ERROR) or self.failure(step)


def _checkpoints(step: Step, fingerprint: str) -> Path:
    """What the step keeps for its next start; ``fingerprint``: the first twelve digits."""
    return step.folder.parent / "checkpoints" / f"{step.folder.name}-{fingerprint}"


def _read(path: Path) -> str | None:
    return untrusted.text(path)
