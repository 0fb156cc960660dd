"""Runs a step on the spec's target and follows it: its log becomes the task's log, its error the task's error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from include.errors import InputError
from include.steps.context import Request
from include.steps.process import ProcessTarget, Step, StepState
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run

POLL_S = 0.3


class StepOperator(LifecycleOperator):
    """Step ``step`` in runtime ``runtime``. ``inputs`` maps the names of the step's inputs to ``task.key`` of earlier results.

    The step outlives this task: a task whose worker died reconnects on its retry, and a step never runs twice at once. A task that is
    killed or cleared by hand ends its step.
    """

    def __init__(self, *, step: str, runtime: str = "trainer", inputs: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step, self.runtime, self.inputs = step, runtime, dict(inputs or {})
        self._running: tuple[ProcessTarget, Step] | None = None

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        return self.run_step(run, self.resolve(run, context))

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        """The step's inputs by name, out of earlier tasks' results."""
        found = {}
        for name, source in self.inputs.items():
            task_id, key = source.split(".")
            found[name] = str(self.pulled(context, task_id)[key])
        return found

    def run_step(self, run: Run, inputs: Mapping[str, str]) -> dict[str, Any]:
        """Submit or find the step, follow it to its end, return its result."""
        started = time.monotonic()
        target = ProcessTarget(run.settings)
        request = Request(self.step, run.key, str(run.spec_path), dict(run.params), dict(inputs))
        step = target.submit(request, self.runtime, run.mlflow.environment())
        self._running = (target, step)
        self.log.info("Step %s runs as %s; its files are in %s", self.step, step.name, step.folder)
        offset, limit_s = 0, run.spec.train.timeout_minutes * 60
        while True:
            state = target.state(step)
            text, offset = target.log(step, offset, ended=state is not StepState.RUNNING)
            for line in text.splitlines():
                self.log.info(line)
            if state is not StepState.RUNNING and not text:
                break
            if state is StepState.RUNNING and target.elapsed_s(step) > limit_s:
                target.stop(step)
                raise InputError(
                    f"step {self.step} took longer than {limit_s / 60:g} minutes and was stopped.",
                    where="model.yaml: train.timeout_minutes",
                    remedy="Raise it, or make the step faster.",
                )
            if not text:
                time.sleep(POLL_S)
        result = target.result(step)
        self.waited_s += max(time.monotonic() - started - float(result["work_s"]), 0.0)
        return result

    def on_kill(self) -> None:
        if self._running:
            target, step = self._running
            target.stop(step)
