"""The trial itself, run by the triggerer: moves the traffic step by step, looks, asks the judge, keeps every look."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from include.canary import given as orders
from include.canary.checkpoint import EVERY, Checkpoint
from include.canary.given import Given
from include.canary.kept import kept as kept_looks
from include.canary.observations import Sample
from include.canary.orders import Order
from include.canary.plan import TrialPlan
from include.canary.progress import NO_SAMPLE, Progress
from include.errors import ComponentError, InputError
from include.gateway.gateway import Gateway
from include.gateway.recorder import Recorded, Recorder, socket_of
from include.gateway.table import Split, Tap
from include.release import references
from include.release.chat_questions import ChatQuestions
from include.release.examiner import Examiner
from include.release.row_questions import LiveRow, RowQuestions
from include.runtime.airflow_api import AirflowApi
from include.runtime.settings import Settings
from include.serving.kubernetes.gateway import gateway_of
from include.verdict import Decision, Verdict
from lifecycle import by_hand
from lifecycle.run import airflow_api

PAUSE_S = 0.1
"""Least pause between two requests that both arms are asked: of a short trial fewer are asked, and callers notice nothing."""
ORDER_S = 2.0
"""Between two looks for a person's order: pause, resume, promote, end."""
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
        hidden: Sequence[str] = (),
    ) -> None:
        """``prompts`` live requests are asked of both arms at most, drawn from a share of them; no example shows what is ``hidden``."""
        super().__init__()
        self.run_key, self.model, self.stable, self.canary = run_key, model, stable, canary
        self.plan, self.mirror_s = plan, mirror_s
        self.prompts, self.prompt_share, self.hidden = prompts, prompt_share, list(hidden)
        self.withdrawn_s: float | None = None
        """Seconds from the judge's word to the gateway's having no traffic for the canary any more; None unless it was rolled back."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("run_key", "model", "stable", "canary", "plan", "mirror_s", "prompts", "prompt_share", "hidden")
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
                    yield TriggerEvent({"verdict": verdict.to_json(), "canary": self.canary, "withdrawn_s": self.withdrawn_s})
                    return
        finally:
            if questions is not None:
                await questions.stop()

    async def _questions(self, asked: list[str]) -> Questions | None:
        try:
            return await Questions.start(self, asked)
        except OSError as error:  # no room, a path too long for a socket: the trial goes on without
            self.log.warning("Live requests can't be recorded, so that answers are not judged: %s", error)
            self.prompts = 0
            return None

    async def _round(self, trial: RunningTrial, questions: Questions | None) -> Verdict:
        """One look, with the traffic that it needs. The canary has none any more when this returns a rollback."""
        if trial.decided is not None:  # decided before this triggerer was killed: no traffic for one more look
            return trial.decided
        order = await asyncio.to_thread(trial.order)
        try:
            if order is not None and order.final:
                return await self._obey(trial, order)
            if order is not None and order.paused:
                standing = await asyncio.to_thread(trial.stand)
                await asyncio.sleep(ORDER_S)
                return standing
            pause_s = await asyncio.to_thread(trial.advance)
        except InputError as error:  # production was changed by hand, or a revision taken out, while it was on trial
            verdict = await asyncio.to_thread(trial.ended_from_outside, error)
        else:
            await self._wait(trial, order, pause_s)
            sample, prompts = questions.drain() if questions else (NO_SAMPLE, [])
            verdict = await asyncio.to_thread(trial.look, sample, prompts)
            self.log.info("%s: %s", verdict.decision.value, " ".join(verdict.reasons))
        if verdict.decision is Decision.ROLLBACK:  # whoever ends a trial by hand sets the traffic himself
            decided = time.monotonic()
            await asyncio.to_thread(trial.withdraw)
            self.withdrawn_s = time.monotonic() - decided
        return verdict

    async def _obey(self, trial: RunningTrial, order: Given) -> Verdict:
        """The verdict of whoever had the trial end. A version that is taken back has no traffic any more when this returns."""
        verdict = trial.ended_by(order)
        self.log.info("%s: %s", verdict.decision.value, verdict.reasons[0])
        if order.order is Order.END:
            await asyncio.to_thread(trial.withdraw)
        return verdict

    async def _wait(self, trial: RunningTrial, known: Given | None, pause_s: float) -> None:
        """Let the time until the next look pass; a new order ends it early, and what has come by then is looked at first."""
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, ORDER_S))
            if left > ORDER_S and await asyncio.to_thread(trial.order) != known:
                return

    async def on_kill(self) -> None:
        """Killed or cleared by hand: the canary gets no more traffic."""
        gateway = await asyncio.to_thread(gateway_of, Settings.load(), self.model)
        await asyncio.to_thread(gateway.set_split, self.model, {self.stable: 100})


class Questions:
    """Live requests that both arms are asked again while the trial lasts: the recorder, and the task that asks."""

    def __init__(self, recorder: Recorder[Any], examiner: Examiner[Any, Any]) -> None:
        self._recorder, self._task, self.drain = recorder, asyncio.create_task(examiner.run()), examiner.drain

    @classmethod
    async def start(cls, trigger: CanaryTrigger, asked: list[str]) -> Questions:
        """``asked`` before, by a triggerer that was killed: those are not asked again."""
        settings, plan = Settings.load(), TrialPlan.from_json(trigger.plan)
        gateway = Gateway(settings)
        socket = socket_of(settings.trials, trigger.model)
        recorder: Recorder[Any]
        form: Any  # the recorder and the examiner are of one form, whichever it is
        if plan.answers is not None:
            form = RowQuestions(trigger.model, plan.answers.tolerance, trigger.hidden)
            recorder = Recorder(socket, form.path, LiveRow.parse, asked)
        else:
            form = ChatQuestions(partial(references.of_prompt, references.path_of(settings.trials, trigger.model)))
            recorder = Recorder(socket, form.path, Recorded.parse, asked)
        examiner: Examiner[Any, Any] = Examiner(
            recorder,
            form,
            settings.gateway_url,
            gateway.probe_headers(trigger.stable),
            gateway.probe_headers(trigger.canary),
            most=max(trigger.prompts - len(asked), 0),
            pause_s=max((plan.duration_s + trigger.mirror_s) / trigger.prompts, PAUSE_S),
        )
        await recorder.start()
        return cls(recorder, examiner)

    async def stop(self) -> None:
        """Ask no more, and forget what was recorded."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._recorder.stop()


class RunningTrial:
    """A trial that is run: moves the gateway's traffic as the trial's progress wants it, reads what has come, keeps every look."""

    def __init__(self, trigger: CanaryTrigger, api: AirflowApi) -> None:
        self._progress = Progress.start(TrialPlan.from_json(trigger.plan), trigger.mirror_s)
        self._trigger, self._api = trigger, api
        self._gateway = gateway_of(Settings.load(), trigger.model)
        self._source = self._gateway.source(trigger.model, trigger.stable, trigger.canary)
        self._mark: Mapping[str, Any] = {}
        self._seen_at = time.time()
        self._looked_at: float | None = None
        self._weights: dict[str, int] = {}
        self._sent: tuple[dict[str, int], str | None] = ({}, None)
        self._stood = False
        self.decided: Verdict | None = None
        """The verdict that ended the trial, None while it goes on."""
        self.prompts: list[str] = []

    @classmethod
    def resume(cls, trigger: CanaryTrigger, api: AirflowApi) -> RunningTrial:
        """Take the trial up after the looks that are kept of it, if any, beginning with what they had come to at its last checkpoint."""
        trial = cls(trigger, api)
        known = Checkpoint.read(trial._checkpoint, trigger.run_key)
        rows = kept_looks(api, trigger.run_key, known.progress.seen - 1) if known else []
        if known and rows and rows[0]["hash"] == known.seal:
            trial._progress, trial.prompts, taken = known.progress, list(known.prompts), 1
        else:
            rows, taken = kept_looks(api, trigger.run_key), 0
        bodies = [row["body"] for row in rows]
        if bodies:
            trial._progress = trial._progress.take(bodies[taken:])
            trial._mark = bodies[-1]["cursor"]
            trial.prompts += [prompt for body in bodies[taken:] for prompt in body.get("prompts", [])]
            trial._conclude()
        if not trial._mark or orders.resumed_since(trial.order(), rows[-1]["at"] if rows else None):
            trial._mark = trial._source.mark()
        return trial

    def order(self) -> Given | None:
        """The order of a person that counts, if any was given."""
        return orders.latest(self._api.get("/lifecycle/v1/orders", params={"run_key": self._trigger.run_key}, missing_ok=True) or [])

    def ended_by(self, order: Given) -> Verdict:
        """The verdict of whoever had the trial promote or end, with the evidence up to now."""
        self.decided = self._progress.ended_by_hand(order.who, order.why, promoted=order.order is Order.PROMOTE)
        return self.decided

    def stand(self) -> Verdict:
        """All traffic to stable, and no look: what comes meanwhile is judged by nobody, and the clock stands still.

        Raises InputError as :meth:`advance` does.
        """
        alone = {self._trigger.stable: 100}
        split = self._unchanged()
        if split is None or dict(split.weights) != alone or split.mirror or split.tap:
            self._gateway.set_split(self._trigger.model, alone)
        self._weights, self._stood, self._looked_at = alone, True, None
        return self._progress.verdict()

    def advance(self) -> float:
        """Set the traffic that this part of the trial wants; the seconds until the next look.

        Raises InputError when production was changed by hand since the last look: its traffic is not taken back.
        """
        stable, canary = self._trigger.stable, self._trigger.canary
        self._unchanged()
        if self._stood:  # what came while it was paused says nothing of the two side by side
            self._mark, self._stood = self._source.mark(), False
        wanted = self._progress.traffic()
        weights, mirror = wanted.weights(stable, canary), canary if wanted.mirrored else None
        self._gateway.set_split(self._trigger.model, weights, mirror=mirror, tap=self._tap)
        now = time.time()
        # What came while the last look was judged and kept is in the next one: so is that time, if the traffic stays as it was.
        stays = self._looked_at is not None and (weights, mirror) == self._sent
        self._seen_at = self._looked_at if stays and self._looked_at is not None else now
        self._weights, self._sent = weights, (weights, mirror)
        return max(wanted.pause_s - (now - self._seen_at), 0.0)

    @property
    def _checkpoint(self) -> Path:
        return Settings.load().trials / f"{self._trigger.model}.checkpoint"

    def _unchanged(self) -> Split | None:
        """The split as this trial has left it. Raises InputError when somebody else has changed it."""
        split = self._gateway.split(self._trigger.model)
        if self._weights and (split is None or dict(split.weights) != self._weights):
            raise InputError("its traffic was changed.", where=f"production of {self._trigger.model}")
        return split

    @property
    def _tap(self) -> Tap | None:
        """Where the gateway sends the requests that both arms are to be asked."""
        if not self._trigger.prompts:
            return None
        return Tap(str(socket_of(Settings.load().trials, self._trigger.model)), max(1, math.floor(100 * self._trigger.prompt_share)))

    def withdraw(self) -> None:
        """All traffic back to stable at once: callers don't wait for Airflow's next tasks."""
        try:
            self._gateway.set_split(self._trigger.model, {self._trigger.stable: 100})
        except InputError:
            return  # stable was taken out by hand: whoever did so has set the split

    def look(self, sample: Sample = NO_SAMPLE, prompts: Sequence[str] = ()) -> Verdict:
        """Read what has come since the last look, ask the judge, keep the look; ``sample`` with the ids of its ``prompts``."""
        now = time.time()
        before, passed_s = self._progress, self._progress.clock(self._seen_at, now)
        self._looked_at = now
        stable, canary, mark = self._source.since(self._mark, mirrored=before.mirroring)
        seen = before.look(passed_s, stable, canary, sample)
        self._progress = before.observe(seen, passed_s)
        verdict = self._conclude()
        body = {
            "look": seen.to_json(),
            "cursor": mark,
            "passed_s": passed_s,
            "mirrored": before.mirroring,
            "verdict": verdict.decision.value,
            **({"prompts": list(prompts)} if prompts else {}),
            **({} if before.seen else {"plan": before.plan.to_json()}),
        }
        row = self._api.call("PUT", "/lifecycle/v1/looks", json={"run_key": self._trigger.run_key, "number": before.seen, "body": body})
        self._mark = mark
        self.prompts = [*self.prompts, *prompts]
        with suppress(OSError):  # without it, a trial that is taken up again judges all its looks
            if self.decided is not None:
                self._checkpoint.unlink(missing_ok=True)
            elif self._progress.seen % EVERY == 0:
                Checkpoint(self._trigger.run_key, row["hash"], self._progress, tuple(self.prompts)).write(self._checkpoint)
        return verdict

    def ended_from_outside(self, error: InputError) -> Verdict:
        """The verdict of whoever took a revision of the trial out; it is kept before production changes (a return by hand)."""
        kept = by_hand.kept(self._api, self._trigger.run_key)
        return kept or self._progress.ended_by_hand(by_hand.NOBODY, str(error))

    def _conclude(self) -> Verdict:
        verdict = self._progress.verdict()
        self.decided = verdict if verdict.decision is not Decision.CONTINUE else None
        return verdict
