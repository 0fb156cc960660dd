"""Target `process`: a step is a process of this machine, run by supervisord, so it outlives the Airflow task that asked for it."""

from __future__ import annotations

from collections.abc import Mapping

from include.errors import InputError
from include.runtime.settings import REPO, Settings
from include.runtime.supervisor import Program, State, Supervisor
from include.steps.context import Request
from include.targets.target import Step, Target


class ProcessTarget(Target):
    """Runs steps on this machine."""

    def __init__(self, settings: Settings, supervisor: Supervisor | None = None) -> None:
        super().__init__(settings)
        self._supervisor = supervisor or Supervisor(settings)

    def identity(self, runtime: str) -> str:
        if not self._settings.python(runtime).exists():
            raise InputError(f"runtime {runtime} is not installed.", where="model.yaml: target", remedy=f"Run `make install-{runtime}`.")
        lock = self._settings.runtimes / runtime / "updraft.lock"
        return lock.read_text() if lock.exists() else ""

    def start(self, step: Step, request: Request, runtime: str, environment: Mapping[str, str]) -> None:
        python = self._settings.python(runtime)
        self._supervisor.start_program(
            Program(
                name=step.name,
                command=(str(python), "-m", "include.steps", str(step.folder)),
                directory=REPO,
                log=step.folder / "log.txt",
                environment=self.environment(step) | {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin"} | dict(environment),
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

    def kill(self, step: Step) -> None:
        self._supervisor.signal(step.name, "KILL")
        self.stop(step)
