"""Runs a step on the spec's target and follows it: its log becomes the task's log, its error the task's error."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gpu_pool.holder import Holder
from gpu_pool.operators.holding import HoldsGpu, MustStop
from include.door.token import Grant, try_tag
from include.errors import InputError
from include.kinds.requests import request
from include.pool.grants import LEASE
from include.runtime import untrusted
from include.spec.parts import Resources
from include.spec.resources import ask_for
from include.spec.schema import Launcher
from include.steps.context import StepRequest
from include.steps.tracking import RUN_INPUT
from include.targets.target import Step, StepState, Target
from lifecycle import reach
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, door
from lifecycle.targets import target_of

POLL_S = 0.3
OVER = "over"
"""The try of a step that has its result."""
TOKEN_SPARE_S = 600.0
"""A step's token ends so long after the step would be stopped: what waits for a slow machine is not cut off."""


class StepOperator(HoldsGpu, LifecycleOperator):
    """Step ``step`` of the spec's kind, in its runtime. ``inputs`` maps the names of the step's inputs to ``task.key`` of earlier results.

    The step outlives this task: a task whose worker died reconnects on its retry, and a step never runs twice at once. A task that is
    killed or cleared by hand ends its step.

    ``part``: the part of the spec whose ``resources`` say what GPUs the step needs. With them, the task waits for its lease deferred, keeps
    it while the step runs, and when the pool wants it back stops the step and waits again. No retry is spent on that.
    """

    part: Literal["", "train", "optimize"] = ""

    def __init__(self, *, step: str, inputs: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step, self.inputs = step, dict(inputs or {})
        self.params_found: dict[str, Any] = {}
        """What a search has found, in place of the run's own parameters."""
        self.trial: dict[str, Any] = {}
        """What a step of a search is to do."""
        self._running: tuple[Target, Step] | None = None

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        inputs = self.resolve(run, context)
        resources, target = self._leased(run), self._target(run)
        if resources is None or target.finished(self._request(run, inputs), self.runtime(run)):
            return self.run_step(run, inputs)

        def without(refused: InputError) -> dict[str, Any]:
            self.log.warning("Runs without a GPU: %s", refused)
            return self.run_step(run, inputs)

        otherwise = without if self.gpu_is_optional(run) else None
        try:
            target.check_gpu(self.runtime(run))
        except InputError as refused:
            if otherwise is None:
                raise
            return otherwise(refused)
        ask = target.narrow(ask_for(resources, run.folder, f"model.yaml: {self.part}.resources"))
        return self.with_gpu(context, ask, lambda holder: self.run_step(run, inputs, holder), local=target.local, otherwise=otherwise)

    @property
    def step_name(self) -> str:
        """The step's name in its run: another one for each time that the run does it."""
        return self.step

    limit_field = "train.timeout_minutes"
    """The field of the spec that says how long the step may take."""

    def limit_s(self, run: Run) -> float:
        """How long the step may take (seconds)."""
        return float(run.spec.train.timeout_minutes) * 60

    def gpu_is_optional(self, run: Run) -> bool:
        """Whether the step has something to do where there is no such GPU."""
        return run.kind.gpu_is_optional(self.step, run.spec)

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        """The step's inputs by name, out of earlier tasks' results."""
        found = {}
        for name, source in self.inputs.items():
            task_id, key = source.split(".")
            found[name] = str(self.pulled(context, task_id)[key])
        if base := self.pulled(context, "base"):
            found["base"] = str(base["model"])
            found |= {"teacher": str(base["teacher"])} if "teacher" in base else {}
        return found

    def run_step(self, run: Run, inputs: Mapping[str, str], holder: Holder | None = None) -> dict[str, Any]:
        """Submit or find the step, follow it to its end, return its result. Raises MustStop when it had to give its GPU back."""
        started = time.monotonic()
        target = self._target(run, holder)
        environment = self._devices(run, holder) if holder else {}
        lease = (holder.lease.id, holder.good_until) if holder else None
        request = self._request(run, inputs)
        if mlflow_run := inputs.get(RUN_INPUT):
            run.mlflow.open_run(mlflow_run)
        step = target.submit(request, self.runtime(run), environment, lease, admit=lambda: self._admit(run, inputs))
        self._running = (target, step)
        self.log.info("Step %s runs as %s; its files are in %s", self.step_name, step.name, step.folder)
        try:
            self._follow(target, step, self.limit_s(run), Leash(target, step, holder) if holder else None)
        except MustStop:
            self._running = None  # it has stopped, or is a later try's
            raise
        result = target.result(step)
        roots = [step.out, run.spec_path.parent, *map(Path, (*request.reads, *request.keeps))]
        untrusted.check_paths(result, roots, f"step {self.step_name}: result.json")
        if mlflow_run:
            run.mlflow.set_tags(mlflow_run, {try_tag(self.step_name): OVER})
        self.waited_s += max(time.monotonic() - started - float(result["work_s"]), 0.0)
        return result

    def _admit(self, run: Run, inputs: Mapping[str, str]) -> dict[str, str]:
        """A new try's own way to MLflow: to its run, and to the model versions that the spec begins with. An earlier try's is closed."""
        attempt, mlflow_run = f"{self.step_name}/{secrets.token_hex(8)}", inputs.get(RUN_INPUT, "")
        if mlflow_run:
            run.mlflow.set_tags(mlflow_run, {try_tag(self.step_name): attempt})
        grant = Grant(mlflow_run, reach.versions(run.spec), f"{run.key} {self.step_name}", attempt)
        return door(grant, self.limit_s(run) + TOKEN_SPARE_S)

    def runtime(self, run: Run) -> str:
        """The environment that the step runs in: the best one for it that is installed, or the one that must be."""
        *better, usual = run.kind.runtimes(self.step, run.spec)
        for runtime in better:
            try:
                target_of(run).identity(runtime)
            except InputError as missing:
                self.log.warning("The step can't run in runtime %s: %s", runtime, missing)
            else:
                return runtime
        return usual

    def _resources(self, run: Run) -> Resources | None:
        return getattr(run.spec, self.part).resources if self.part else None

    def _leased(self, run: Run) -> Resources | None:
        """What is asked of the pool: Ray hands out its own GPUs."""
        return None if self._ray(run) else self._resources(run)

    def _ray(self, run: Run) -> bool:
        return self.part == "train" and run.spec.train.launcher is Launcher.RAY

    def _nodes(self, run: Run) -> int:
        resources = self._leased(run)
        return resources.nodes if resources else 1

    def _target(self, run: Run, holder: Holder | None = None) -> Target:
        resources = self._resources(run)
        priority = resources.priority if resources else 5
        return target_of(run, holder.lease if holder else None, priority, nodes=self._nodes(run), ray=self._ray(run))

    def _devices(self, run: Run, holder: Holder) -> dict[str, str]:
        """Of a gang each node has devices of its own, which its place says."""
        return holder.lease.environment() if self._nodes(run) == 1 else {LEASE: holder.lease.id}

    def _request(self, run: Run, inputs: Mapping[str, str]) -> StepRequest:
        train, resources = run.spec.train, self._resources(run)
        more: dict[str, Any] = {
            "reads": reach.files(run.spec, run.folder, run.params, run.settings),
            "keeps": [str(reach.kept_bases(run.spec, run.settings))] if self.step == "base" else [],
            "network": reach.network(run.spec, self.step, run.folder),
        }
        if self.part == "train" and train.shared:
            gpus = (resources.gpus or 0) * resources.nodes / train.workers if resources else 0
            more |= {"workers": train.workers, "nodes": self._nodes(run), "launcher": str(train.launcher), "gpus": gpus}
        if self.trial:
            more["trial"] = self.trial
        return request(run.spec, run.folder, self.step_name, run.key, {**run.params, **self.params_found}, inputs, **more)

    def _follow(self, target: Target, step: Step, limit_s: float, leash: Leash | None) -> None:
        """The step's log becomes the task's, until the step has ended."""
        offset, said = 0, ""
        while True:
            state = target.state(step)
            if (says := target.says(step)) and says != said:
                self.log.info(says)
            said = says
            text, offset = target.log(step, offset, ended=state is not StepState.RUNNING)
            for line in text.splitlines():
                self.log.info(line)
            if leash and (state is StepState.RUNNING or not text):
                leash.pull(state)
            if state is not StepState.RUNNING and not text:
                return
            if state is StepState.RUNNING and target.elapsed_s(step) > limit_s:
                target.stop(step)
                raise InputError(
                    f"step {self.step_name} took longer than {limit_s / 60:g} minutes and was stopped.",
                    where=f"model.yaml: {self.limit_field}",
                    remedy="Raise it, or make the step faster.",
                )
            if not text:
                time.sleep(POLL_S)

    def on_kill(self) -> None:
        if self._running and not (self._holder and self._holder.fenced()):  # else it is a later try's
            target, step = self._running
            target.kill(step) if self._holder else target.stop(step)
        self.release_gpu()


class Leash:
    """Holds a step to its lease: renews it, asks the step to stop when the pool says so, and kills it when its time is up."""

    def __init__(self, target: Target, step: Step, holder: Holder) -> None:
        self._target, self._step, self._holder = target, step, holder
        self._kept = holder.good_until
        self._asked, self._saved = False, target.saved(step)

    def pull(self, state: StepState) -> None:
        """Once a round. Raises MustStop when the step has stopped for others, or is a later try's."""
        if (saved := self._target.saved(self._step)) != self._saved:
            self._saved = saved
            self._holder.saved()
        stop = self._holder.beat()
        if stop is None or not stop.ended:
            self._keep()
        if stop is None or state is StepState.SUCCEEDED:
            return
        if stop.fenced:
            raise MustStop(stop)
        if state is StepState.FAILED:
            self._target.stop(self._step)
            raise MustStop(stop)
        if not self._asked:
            self._asked = True
            self._target.ask_to_stop(self._step)
        if self._holder.seconds_left <= 0:
            self._target.kill(self._step)

    def _keep(self) -> None:
        if self._holder.good_until != self._kept:
            self._kept = self._holder.good_until
            self._target.keep(self._step, (self._holder.lease.id, self._kept))
