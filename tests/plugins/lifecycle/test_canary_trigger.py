"""The trial as the triggerer runs it: the gateway's real files and log; the plugin's tables are a list."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from include.canary.compared import Compared, Pair
from include.canary.observations import Arm, Latencies, Sample
from include.canary.plan import AnswersPlan, TrialPlan
from include.canary.progress import Progress
from include.errors import ComponentError
from include.evidence.recompute import difference
from include.gateway.endpoint import Endpoint
from include.gateway.gateway import Gateway
from include.gateway.recorder import socket_of
from include.gateway.table import Tap
from include.runtime.settings import Settings
from include.verdict import Decision
from lifecycle.triggers import canary
from lifecycle.triggers.canary import CanaryTrigger, RunningTrial

PLAN = TrialPlan(steps=(10, 50), step_s=0.2, look_s=0.1, min_requests=10, error_tolerance=0.05, latency_tolerance=0.5)
RUN = "digits_lifecycle/r"


class Tables:
    """The looks and verdicts of one run, kept as the plugin's REST API keeps them; ``away`` calls fail first."""

    def __init__(self, away: int = 0) -> None:
        self.looks: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.away = away

    def order(self, order: str, why: str = "a talk") -> None:
        self.orders.append({"order": order, "who": "anna", "why": why, "at": datetime.now(UTC).isoformat()})

    def get(self, path: str, params: dict[str, Any], missing_ok: bool = False) -> list[dict[str, Any]]:
        if self.away:
            self.away -= 1
            raise ComponentError("no answer.", where="the API")
        self.asked.append(params)
        looks = self.looks[params.get("start", 0) :]
        return {"looks": looks, "orders": self.orders}.get(path.rpartition("/")[2], self.verdicts)

    def call(self, method: str, path: str, json: dict[str, Any]) -> dict[str, Any]:
        assert (method, path, json["number"]) == ("PUT", "/lifecycle/v1/looks", len(self.looks))
        self.looks.append(json | {"at": datetime.now(UTC).isoformat(), "hash": f"{json['number']:064x}"})
        return self.looks[-1]


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("UPDRAFT_PORT_BASE", "23000")
    monkeypatch.setattr(canary, "AWAY_S", 0.01)
    (tmp_path / "credentials.json").write_text(json.dumps({"api_keys": {"updraft": "k"}, "probe_secret": "s"}))
    (tmp_path / "logs").mkdir()
    made = Gateway(Settings.load())
    for version in ("1", "2"):
        made.add_revision(Endpoint("digits", version, 23900 + int(version)))
    made.set_split("digits", {"1": 100})
    return made


def trigger(**more: Any) -> CanaryTrigger:
    return CanaryTrigger(
        **{"run_key": RUN, "model": "digits", "stable": "1", "canary": "2", "plan": PLAN.to_json(), "mirror_s": 0.0, **more}
    )


def requests(gateway: Gateway, count: int = 60, *, status: int = 200) -> None:
    """What Envoy logs of requests to both revisions; ``status`` of the canary's answers."""
    with gateway.access_log.open("a") as log:
        for number in range(count):
            for revision, code in (("1", 200), ("2", status)):
                line = {"time": str(time.time()), "kind": "live", "client": "demo", "model": "digits", "revision": revision, "flags": "-"}
                line |= {"served_by": revision, "path": "/v2/models/digits/infer", "status": code, "attempts": 1}
                log.write(json.dumps(line | {"upstream_us": 5000 + number}) + "\n")


def ended(tables: Tables, monkeypatch: pytest.MonkeyPatch, gateway: Gateway, status: int = 200, **more: Any) -> dict[str, Any]:
    """The event of the whole trial (``more``: of the trigger), with traffic at every look."""
    monkeypatch.setattr(canary, "airflow_api", lambda: tables)
    advance = RunningTrial.advance

    def advanced(trial: RunningTrial) -> float:
        pause_s = advance(trial)
        requests(gateway, status=status)
        return pause_s

    monkeypatch.setattr(RunningTrial, "advance", advanced)

    async def event() -> dict[str, Any]:
        async with aclosing(trigger(**more).run()) as events:
            async for found in events:
                return dict(found.payload)
        raise AssertionError("no event")

    return asyncio.run(event())


def weights(gateway: Gateway) -> dict[str, int]:
    split = gateway.split("digits")
    assert split is not None
    return dict(split.weights)


def test_a_good_canary_goes_up_the_steps_and_keeps_its_traffic(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    tables = Tables(away=2)
    event = ended(tables, monkeypatch, gateway)
    assert event["verdict"]["decision"] == "PROMOTE" and event["canary"] == "2" and event["withdrawn_s"] is None
    assert {look["body"]["look"]["weight"] for look in tables.looks} == {10, 50}
    assert weights(gateway) == {"1": 50, "2": 50}


def test_a_failing_canary_has_no_traffic_any_more_when_the_trial_ends(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    tables = Tables()
    event = ended(tables, monkeypatch, gateway, status=500)
    assert event["verdict"]["decision"] == "ROLLBACK" and event["withdrawn_s"] > 0
    assert weights(gateway) == {"1": 100} and tables.looks[-1]["body"]["verdict"] == "ROLLBACK"


def test_a_trial_goes_on_from_the_last_look_that_was_kept(gateway: Gateway):
    tables = Tables()
    trial = RunningTrial.resume(trigger(mirror_s=5.0), tables)
    trial.advance()
    split = gateway.split("digits")
    assert split is not None and split.mirror == "2" and dict(split.weights) == {"1": 100}
    requests(gateway, 5)
    assert trial.look().decision is Decision.CONTINUE
    again = RunningTrial.resume(trigger(mirror_s=5.0), tables)
    assert again.decided is None
    again.advance()
    again.look()
    first, second = (look["body"] for look in tables.looks)
    assert second["passed_s"] > first["passed_s"] and second["cursor"] == first["cursor"]  # nothing is read twice
    assert second["look"]["stable"]["requests"] == 0


def test_live_rows_are_recorded_and_asked_while_the_trial_lasts(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    """With nobody at the gateway's port, no row has an answer: the trial ends by its other tests, and says what it doesn't know."""
    tables, socket = Tables(), socket_of(Settings.load().trials, "digits")
    start = canary.Questions.start

    async def started(self: CanaryTrigger, asked: list[str]) -> canary.Questions:
        questions = await start(self, asked)
        inputs = [{"name": "input", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
            answer = await session.post("http://tap/v2/models/digits/infer", json={"inputs": inputs})
            assert answer.status == 204
        return questions

    monkeypatch.setattr(canary.Questions, "start", started)
    plan = replace(PLAN, answers=AnswersPlan(rows=300, differ=3))
    event = ended(tables, monkeypatch, gateway, plan=plan.to_json(), prompts=100, prompt_share=0.5)
    assert event["verdict"]["decision"] == "PROMOTE"
    assert any("answers: not known" in reason for reason in event["verdict"]["reasons"])
    assert len([key for look in tables.looks for key in look["body"].get("prompts", [])]) == 1
    assert not socket.exists()


def test_rows_that_were_asked_and_what_they_are_held_against_outlive_a_killed_triggerer(gateway: Gateway):
    tables, plan = Tables(), replace(PLAN, step_s=60.0, answers=AnswersPlan(rows=300, differ=3))
    of = {"plan": plan.to_json(), "prompts": 100, "prompt_share": 0.5}
    trial = RunningTrial.resume(trigger(**of), tables)
    trial.advance()
    split = gateway.split("digits")
    assert split is not None and split.tap == Tap(str(socket_of(Settings.load().trials, "digits")), 50)
    trial.look(Sample(compared=Compared(3, 1, (Pair("age 30", "0", "1"),))), ["a", "b", "c"])
    again = RunningTrial.resume(trigger(**of), tables)
    assert again.prompts == ["a", "b", "c"]
    again.advance()
    verdict = again.look(Sample(compared=Compared(20, 20)), ["d"])
    assert verdict.decision is Decision.ROLLBACK and verdict.evidence["compared"]["differ"] == 21
    assert [("plan" in look["body"]) for look in tables.looks] == [True, False]
    by_the_spec = Progress.start(replace(plan, answers=None)).take(look["body"] for look in tables.looks)
    assert by_the_spec.verdict() == verdict


def test_a_trial_of_many_looks_is_taken_up_from_its_checkpoint_and_comes_to_the_same(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary, "EVERY", 4)
    tables, of = Tables(), {"plan": replace(PLAN, step_s=600.0, answers=AnswersPlan(rows=300, differ=3)).to_json(), "prompts": 100}
    trial = RunningTrial.resume(trigger(**of), tables)
    for number in range(6):
        trial.advance()
        requests(gateway, 5 + number)
        trial.look(Sample(compared=Compared(2, 0)), [f"row{number}"])
    taken: list[int] = []
    take = Progress.take
    monkeypatch.setattr(Progress, "take", lambda self, bodies: taken.append(len(bodies)) or take(self, bodies))
    tables.asked.clear()
    again = RunningTrial.resume(trigger(**of), tables)
    assert taken == [2] and tables.asked[0] == {"run_key": RUN, "start": 3}
    whole = take(Progress.start(PLAN), [look["body"] for look in tables.looks])
    assert again._progress.to_json() == whole.to_json() == trial._progress.to_json()
    assert again.prompts == [f"row{number}" for number in range(6)] and again._mark == tables.looks[-1]["body"]["cursor"]


def test_a_checkpoint_of_other_looks_of_another_run_or_another_judge_is_not_taken_up(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary, "EVERY", 1)
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    trial.advance()
    trial.look()
    file, taken, take = Settings.load().trials / "digits.checkpoint", list[int](), Progress.take
    monkeypatch.setattr(Progress, "take", lambda self, bodies: taken.append(len(bodies)) or take(self, bodies))
    kept = json.loads(file.read_text())
    for changed in ({"seal": "f" * 64}, {"judge": "another"}, {"run_key": "digits_lifecycle/other"}, {"progress": {}}, {}):
        file.write_text(json.dumps(kept | changed))
        assert RunningTrial.resume(trigger(), tables)._progress.to_json() == trial._progress.to_json()
    file.write_text("cut sho")
    RunningTrial.resume(trigger(), tables)
    assert taken == [1, 1, 1, 1, 0, 1]


def test_a_trial_that_was_decided_gets_no_traffic_for_one_more_look(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    tables, progress = Tables(), Progress.start(PLAN)
    look = progress.look(0.1, Arm(400, 0, Latencies.of([5.0] * 400)), Arm(400, 400))
    tables.looks = [{"number": 0, "body": {"look": look.to_json(), "passed_s": 0.1, "cursor": {}}}]
    assert ended(tables, monkeypatch, gateway)["verdict"]["decision"] == "ROLLBACK"
    assert len(tables.looks) == 1 and weights(gateway) == {"1": 100}


def test_a_return_by_hand_ends_the_trial_and_keeps_the_traffic_that_it_set(gateway: Gateway):
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    trial.advance()
    gateway.set_split("digits", {"2": 100})
    verdict = asyncio.run(trigger()._round(trial, None))
    assert verdict.decision is Decision.ENDED_BY_HAND and "an unknown person" in verdict.reasons[0]
    by_ada = Progress.start(PLAN).ended_by_hand("ada", "version 2 is wanted now.")
    tables.verdicts = [{"kind": "canary", "body": by_ada.to_json()}]
    assert asyncio.run(trigger()._round(trial, None)).reasons[0] == "Ended by hand, by ada: version 2 is wanted now."
    assert weights(gateway) == {"2": 100} and not tables.looks


def test_a_revision_that_is_gone_ends_the_trial(gateway: Gateway):
    gateway.remove_revision("digits", "2")
    verdict = asyncio.run(trigger()._round(RunningTrial.resume(trigger(), Tables()), None))
    assert verdict.decision is Decision.ENDED_BY_HAND and "2" in verdict.reasons[0]


def test_a_trial_that_is_killed_by_hand_leaves_the_canary_no_traffic(gateway: Gateway):
    RunningTrial.resume(trigger(), Tables()).advance()
    assert weights(gateway) == {"1": 90, "2": 10}
    asyncio.run(trigger().on_kill())
    assert weights(gateway) == {"1": 100}


def rounds(trial: RunningTrial, count: int = 1) -> Any:
    """The verdict after some rounds of the trigger."""

    async def through() -> Any:
        for _ in range(count):
            verdict = await trigger()._round(trial, None)
        return verdict

    return asyncio.run(through())


def test_a_paused_trial_gives_the_canary_nothing_and_its_clock_stands(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary, "ORDER_S", 0.01)
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    rounds(trial)
    assert weights(gateway) == {"1": 90, "2": 10}
    looks, passed_s = len(tables.looks), tables.looks[-1]["body"]["passed_s"]
    tables.order("pause")
    assert rounds(trial, 3).decision is Decision.CONTINUE
    assert weights(gateway) == {"1": 100} and len(tables.looks) == looks
    time.sleep(0.3)  # longer than the trial is
    requests(gateway, 50)  # of stable and, by callers of before, of the canary: nobody judges them
    tables.order("resume")
    assert rounds(trial).decision is Decision.CONTINUE
    assert weights(gateway) == {"1": 90, "2": 10}
    look = tables.looks[-1]["body"]
    assert look["passed_s"] - passed_s < 0.25 and look["look"]["stable"]["requests"] == 0


def test_what_came_during_a_pause_is_not_judged_by_another_triggerer_either(gateway: Gateway):
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    trial.advance()
    trial.look()
    tables.order("pause")
    requests(gateway, 50)
    tables.order("resume")
    again = RunningTrial.resume(trigger(), tables)
    again.advance()
    again.look()
    assert tables.looks[-1]["body"]["look"]["stable"]["requests"] == 0


@pytest.mark.parametrize(("order", "decision", "left"), [("promote", "PROMOTE", {"1": 90, "2": 10}), ("end", "ENDED BY HAND", {"1": 100})])
def test_a_trial_obeys_who_promotes_or_ends_it_and_says_who(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, order: str, decision: str, left: dict[str, int]
):
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    rounds(trial)
    tables.order(order, "the fair opens at nine")
    event = ended(tables, monkeypatch, gateway)
    assert event["verdict"]["decision"] == decision and weights(gateway) == left
    assert "by hand, by anna: the fair opens at nine" in event["verdict"]["reasons"][0]
    kept = {"decision": decision, **event["verdict"]}
    assert difference("canary", json.loads(json.dumps(kept)), [look["body"] for look in tables.looks]) is None


def test_an_order_ends_the_wait_for_the_next_look(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary, "ORDER_S", 0.02)
    tables, plan = Tables(), replace(PLAN, step_s=600.0, look_s=300.0)
    tables.looks.clear()
    begun = time.monotonic()

    async def through() -> Any:
        trial = RunningTrial.resume(trigger(plan=plan.to_json()), tables)
        first = asyncio.create_task(trigger(plan=plan.to_json())._round(trial, None))
        await asyncio.sleep(0.3)
        tables.order("end")
        await first
        return await trigger(plan=plan.to_json())._round(trial, None)

    assert asyncio.run(through()).decision is Decision.ENDED_BY_HAND
    assert time.monotonic() - begun < 30 and weights(gateway) == {"1": 100}


def test_a_change_by_hand_during_a_pause_ends_the_trial(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary, "ORDER_S", 0.01)
    tables = Tables()
    trial = RunningTrial.resume(trigger(), tables)
    rounds(trial)
    tables.order("pause")
    rounds(trial)
    gateway.set_split("digits", {"2": 100})
    assert rounds(trial).decision is Decision.ENDED_BY_HAND
    assert weights(gateway) == {"2": 100}
