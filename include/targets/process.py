"""Target `process`: a step is a process of this machine, run by supervisord, so it outlives the Airflow task that asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from include.errors import InputError
from include.runtime import layers
from include.runtime.sandbox import users
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.steps.context import StepRequest
from include.targets import confined
from include.targets.target import Step, Target, ended_from_outside


class ProcessTarget(Target):
    """Runs steps on this machine."""

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None) -> None:
        super().__init__(settings)
        self._supervisor = supervisor or Supervisor(settings)

    def identity(self, runtime: str) -> str:
        name, layer = layers.split(runtime)
        if not self._settings.python(name).exists():
            raise InputError(f"runtime {name} is not installed.", where="model.yaml: target", remedy=f"Run `make install-{name}`.")
        lock = self._settings.runtimes / name / "updraft.lock"
        return (lock.read_text() if lock.exists() else "") + layer

    def start(self, step: Step, request: StepRequest, runtime: str, environment: Mapping[str, str]) -> None:
        python, (name, layer) = self._settings.python(runtime), layers.split(runtime)
        if layer:
            layers.make(runtime, Path(request.folder), python.parents[1], self._settings.python(name))
        policy = confined.of_step(self._settings, step, request, Path(environment["UPDRAFT_CHECKPOINTS"]), python.parents[1])
        own = {"PYTHONPATH": policy.folder, "HOME": str(step.folder / "tmp"), "USER": "updraft", "LOGNAME": "updraft"}
        own["PATH"] = f"{python.parent}:/usr/local/bin:/usr/bin:/bin"
        self._supervisor.start_program(
            Program(
                name=step.name,
                command=policy.wrap((str(python), "-m", "include.steps", str(step.folder))),
                directory=REPO,
                log=step.folder / "log.txt",
                environment=self.environment(step) | own | dict(environment),
                log_bytes=0,  # the step may write beside its log: nothing is to be made there under a name that it can take first
                autorestart=False,
                start_s=0,
                start_retries=0,
            )
        )

    def alive(self, step: Step) -> bool:
        return self._supervisor.state(step.name) in (State.STARTING, State.RUNNING, State.STOPPING)

    def ask_to_stop(self, step: Step) -> None:
        self._supervisor.signal(step.name, "TERM")

    def stop(self, step: Step) -> None:
        self._supervisor.stop_program(step.name)
        if not step.folder.is_dir():
            return
        # The folder is the platform's, its group the step's; `out` is the platform's after the first time.
        user = step.folder.stat().st_gid
        if not users.given(user):
            return
        try:
            users.end_all(user)
        except OSError as error:
            raise ended_from_outside(step, f"what it has started does not end: {error}.") from error
        users.take_back(step.out, user)  # before anybody looks at it: nothing that might be left may change it afterwards

    def kill(self, step: Step) -> None:
        self._supervisor.signal(step.name, "KILL")
        self.stop(step)
