"""The trial itself, run by the triggerer: moves the traffic step by step, looks, asks the judge, keeps every look."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from include.canary.asked import NOTHING, Asked
from include.canary.observations import Look
from include.canary.plan import TrialPlan
from include.canary.verdicts import ended_from_outside
from include.errors import ComponentError, InputError
from include.gateway.gateway import Gateway
from include.gateway.recorder import Recorder, socket_of
from include.gateway.table import Tap
from include.release import references
from include.release.examiner import Examiner
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import gateway_of
from include.verdict import Decision, Verdict
from lifecycle.run import airflow_api

MIRROR_STEP = -1
AWAY_S = 2.0
"""Pause before the trial is taken up again when a server did not answer."""


class CanaryTrigger(BaseTrigger):
    """One trial. Its whole state is in the looks it has kept: started again anywhere, it goes on from the last of them."""

    def __init__(
        self,
        *,
        run_key: str,
        model: str,
        stable: str,
        canary: str,
        plan: dict[str, Any],
        mirror_s: float,
        prompts: int = 0,
        prompt_share: float = 0.0,
    ) -> None:
        """``prompts`` of the live ones are asked of both arms at most, drawn from a share of them; language models only."""
        super().__init__()
        self.run_key, self.model, self.stable, self.canary = run_key, model, stable, canary
        self.plan, self.mirror_s = plan, mirror_s
        self.prompts, self.prompt_share = prompts, prompt_share

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("run_key", "model", "stable", "canary", "plan", "mirror_s", "prompts", "prompt_share")
        kwargs = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        api = await sync_to_async(airflow_api)()
        trial: RunningTrial | None = None
        questions: Questions | None = None
        try:
            while True:
                try:
                    if trial is None:
                        trial = await asyncio.to_thread(RunningTrial.resume, self, api)
                    if questions is None and self.prompts:
                        questions = await self._questions(trial.prompts)
                    verdict = await self._round(trial, questions)
                except ComponentError as error:
                    # A server that is away for a moment ends no trial: it goes on from the last look that was kept.
                    self.log.warning("The trial waits: %s", error)
                    trial = None
                    await asyncio.sleep(AWAY_S)
                    continue
                if verdict.decision is not Decision.CONTINUE:
                    yield TriggerEvent({"verdict": verdict.to_json(), "canary": self.canary})
                    return
        finally:
            if questions is not None:
                await questions.stop()

    async def _questions(self, asked: list[str]) -> Questions | None:
        try:
            return await Questions.start(self, asked)
        except OSError as error:  # no room, a path too long for a socket: the trial goes on without
            self.log.warning("Live prompts can't be recorded, so that quality is not judged: %s", error)
            self.prompts = 0
            return None

    async def _round(self, trial: RunningTrial, questions: Questions | None) -> Verdict:
        """One look, with the traffic that it needs. The canary has none any more when this returns a rollback."""
        if trial.decided is not None:  # decided before this triggerer was killed: no traffic for one more look
            return trial.decided
        try:
            pause_s = await asyncio.to_thread(trial.advance)
        except InputError as error:  # a revision was taken out by hand while it was on trial
            verdict = ended_from_outside(str(error))
        else:
            await asyncio.sleep(pause_s)
            asked, prompts = questions.drain() if questions else (NOTHING, [])
            verdict = await asyncio.to_thread(trial.look, asked, prompts)
            self.log.info("%s: %s", verdict.decision.value, " ".join(verdict.reasons))
        if verdict.decision is Decision.ROLLBACK:
            await asyncio.to_thread(trial.withdraw)
        return verdict

    async def on_kill(self) -> None:
        """Killed or cleared by hand: the canary gets no more traffic."""
        gateway = await asyncio.to_thread(gateway_of, Settings.load(), self.model)
        await asyncio.to_thread(gateway.set_split, self.model, {self.stable: 100})


class Questions:
    """Live prompts that both arms are asked again while the trial lasts: the recorder, and the task that asks."""

    def __init__(self, recorder: Recorder, examiner: Examiner) -> None:
        self._recorder, self._task, self.drain = recorder, asyncio.create_task(examiner.run()), examiner.drain

    @classmethod
    async def start(cls, trigger: CanaryTrigger, asked: list[str]) -> Questions:
        """``asked`` before, by a triggerer that was killed: those are not asked again."""
        settings, plan = Settings.load(), TrialPlan.from_json(trigger.plan)
        gateway = Gateway(settings)
        recorder = Recorder(socket_of(settings.trials, trigger.model), asked)
        examiner = Examiner(
            recorder,
            settings.gateway_url,
            gateway.probe_headers(trigger.stable),
            gateway.probe_headers(trigger.canary),
            partial(references.of_prompt, references.path_of(settings.trials, trigger.model)),
            most=max(trigger.prompts - len(asked), 0),
            pause_s=(plan.duration_s + trigger.mirror_s) / trigger.prompts,
        )
        await recorder.start()
        return cls(recorder, examiner)

    async def stop(self) -> None:
        """Ask no more, and forget what was recorded."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._recorder.stop()


class RunningTrial:
    """The trial's place: how much of it has passed, what the judge knows, where the log has been read to."""

    def __init__(self, trigger: CanaryTrigger, api: AirflowApi) -> None:
        from include.canary.trial import Trial

        plan = TrialPlan.from_json(trigger.plan)
        # A mirrored phase is a trial of its own before the first step; both share the error level.
        mirror_plan = replace(plan, steps=(50,), step_s=trigger.mirror_s, alpha=plan.alpha / 2) if trigger.mirror_s else None
        self._mirror = Trial.start(mirror_plan) if mirror_plan else None
        self._trial = Trial.start(replace(plan, alpha=plan.alpha / 2) if mirror_plan else plan)
        self._plan, self._trigger, self._api = plan, trigger, api
        self._gateway = gateway_of(Settings.load(), trigger.model)
        self._source = self._gateway.source(trigger.model, trigger.stable, trigger.canary)
        self._number, self._passed_s = 0, 0.0
        self._mark: Mapping[str, Any] = {}
        self._seen_at = time.time()
        self._last: Verdict | None = None
        self.prompts: list[str] = []

    @classmethod
    def resume(cls, trigger: CanaryTrigger, api: AirflowApi) -> RunningTrial:
        """From the looks that are kept, if any."""
        trial = cls(trigger, api)
        for row in api.get("/lifecycle/v1/looks", params={"run_key": trigger.run_key}):
            kept = Look.from_json(row["body"]["look"])
            trial._take(kept, row["body"]["passed_s"])
            trial._mark = row["body"]["cursor"]
            trial.prompts += row["body"].get("prompts", [])
        trial._mark = trial._mark or trial._source.mark()
        return trial

    @property
    def decided(self) -> Verdict | None:
        """The verdict that ended the trial, None while it goes on."""
        return self._last if self._last and self._last.decision is not Decision.CONTINUE else None

    @property
    def _mirroring(self) -> bool:
        return self._passed_s < self._trigger.mirror_s

    @property
    def _step(self) -> int:
        if self._mirroring:
            return MIRROR_STEP
        return min(int((self._passed_s - self._trigger.mirror_s) / self._plan.step_s), len(self._plan.steps) - 1)

    def advance(self) -> float:
        """Set the traffic that this part of the trial wants; the seconds until the next look."""
        stable, canary = self._trigger.stable, self._trigger.canary
        if self._mirroring:
            self._gateway.set_split(self._trigger.model, {stable: 100}, mirror=canary, tap=self._tap)
            end = self._trigger.mirror_s
        else:
            weight = self._plan.steps[self._step]
            self._gateway.set_split(self._trigger.model, {stable: 100 - weight, canary: weight}, tap=self._tap)
            end = self._trigger.mirror_s + (self._step + 1) * self._plan.step_s
        self._seen_at = time.time()
        return max(min(self._plan.look_s, end - self._passed_s), 0.0)

    @property
    def _tap(self) -> Tap | None:
        """Where the gateway sends the prompts that both arms are to be asked."""
        if not self._trigger.prompts:
            return None
        return Tap(str(socket_of(Settings.load().trials, self._trigger.model)), max(1, math.floor(100 * self._trigger.prompt_share)))

    def withdraw(self) -> None:
        """All traffic back to stable at once: callers don't wait for Airflow's next tasks."""
        try:
            self._gateway.set_split(self._trigger.model, {self._trigger.stable: 100})
        except InputError:
            return  # stable was taken out by hand: whoever did so has set the split

    def look(self, asked: Asked = NOTHING, prompts: Sequence[str] = ()) -> Verdict:
        """Read what has come since the last look, ask the judge, keep the look; ``asked`` with the ids of its ``prompts``."""
        # The trial's clock runs only while somebody looks: a triggerer that was away for a while does not use up the trial.
        elapsed = min(time.time() - self._seen_at, 2 * self._plan.look_s)
        passed_s = self._passed_s + elapsed
        stable, canary, mark = self._source.since(self._mark, mirrored=self._mirroring)
        seen = Look(
            at_s=passed_s if self._mirroring else passed_s - self._trigger.mirror_s,
            step=max(self._step, 0),
            weight=50 if self._mirroring else self._plan.steps[self._step],
            stable=stable,
            canary=canary,
            asked=asked,
        )
        number, mirrored = self._number, self._mirroring
        verdict = self._take(seen, passed_s)
        body = {
            "look": seen.to_json(),
            "cursor": mark,
            "passed_s": passed_s,
            "mirrored": mirrored,
            "verdict": verdict.decision.value,
            **({"prompts": list(prompts)} if prompts else {}),
        }
        self._api.call("PUT", "/lifecycle/v1/looks", json={"run_key": self._trigger.run_key, "number": number, "body": body})
        self._mark = mark
        return verdict

    def _take(self, seen: Look, passed_s: float) -> Verdict:
        mirroring = self._mirroring
        self._number, self._passed_s = self._number + 1, passed_s
        if mirroring and self._mirror is not None:
            self._mirror = self._mirror.observe(seen)
            verdict = self._mirror.verdict()
            if verdict.decision is not Decision.ROLLBACK:  # what the copies can't show, the steps of real traffic will
                verdict = replace(verdict, decision=Decision.CONTINUE)
        else:
            self._trial = self._trial.observe(seen)
            verdict = self._trial.verdict()
        self._last = verdict
        return verdict
