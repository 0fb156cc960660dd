"""The task canary: whom it puts on trial against whom, and where a verdict leads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from include.canary.plan import AnswersPlan, TrialPlan
from include.demo.story import WITHDRAWN_S
from include.gates.evaluation import Champion, Disagreement, Evaluation
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.registry.mlflow import CHAMPION
from include.runtime.settings import REPO
from include.spec.schema import OnInconclusive
from include.verdict import Decision, Verdict
from lifecycle.operators.canary import Canary, branch_of

DIGITS = REPO / "include" / "models" / "digits" / "model.yaml"


class Run:
    """One run of `digits`, version 3 of which was registered; verdicts are kept in a list."""

    key, model = "digits_lifecycle/r", "digits"

    def __init__(self, home: Path, champion: int | None) -> None:
        self.spec, self.settings, self.kept = load(DIGITS), SimpleNamespace(trials=home), []
        self.kind = kind_of(self.spec)
        self.mlflow = SimpleNamespace(aliases=lambda model: {CHAMPION: champion} if champion else {})

    def keep(self, *verdict: Any) -> None:
        self.kept.append(verdict)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> tuple[Canary, dict[str, Any], list[Any]]:
    branches: list[Any] = []
    monkeypatch.setattr(Canary, "do_branch", lambda self, context, branch: branches.append(branch))
    ti = SimpleNamespace(xcom_pull=lambda task_ids: {"version": 3}, xcom_push=lambda key, value: None)
    return Canary(task_id="canary", spec_path=str(DIGITS)), {"ti": ti}, branches


@pytest.mark.parametrize("champion", [None, 3])
def test_a_first_version_is_promoted_as_it_is(tmp_path: Path, task: Any, champion: int | None):
    canary, context, branches = task
    run = Run(tmp_path, champion)
    canary.run(run, context)
    assert branches == ["promote"]
    assert [(kind, verdict.decision, version) for kind, verdict, version in run.kept] == [("canary", Decision.PROMOTE, 3)]


def test_a_later_version_is_put_on_trial_against_the_champion_by_the_runs_own_plan(tmp_path: Path, task: Any):
    canary, context, branches = task
    run = Run(tmp_path, 2)
    with pytest.raises(TaskDeferred) as left:
        canary.run(run, context)
    trigger = left.value.trigger
    assert (trigger.run_key, trigger.stable, trigger.canary, left.value.method_name) == (run.key, "2", "3", "conclude")
    assert tuple(trigger.plan["steps"]) == run.spec.canary.steps and trigger.prompts == 0
    assert not run.kept and not branches


def test_the_trials_plan_has_what_evaluate_found_of_both_versions_on_the_held_out_rows(tmp_path: Path, task: Any):
    canary, context, _ = task
    path = tmp_path / "evaluation.json"
    Evaluation("classification", "accuracy", 90, 90, 0.95, {}, champion=Champion("2", disagreement=Disagreement(90, 2))).save(path)
    context["ti"].xcom_pull = lambda task_ids: {"version": 3, "evaluation": str(path)}
    with pytest.raises(TaskDeferred) as left:
        canary.run(Run(tmp_path, 2), context)
    trigger, plan = left.value.trigger, TrialPlan.from_json(left.value.trigger.plan)
    assert plan.answers == AnswersPlan(rows=90, differ=2)
    assert (trigger.prompts, trigger.prompt_share) == (plan.answers.requests, plan.answers.share)


def test_where_nothing_is_known_of_the_held_out_rows_no_request_is_asked_and_the_plan_says_why(tmp_path: Path, task: Any):
    canary, context, _ = task
    with pytest.raises(TaskDeferred) as left:
        canary.run(Run(tmp_path, 2), context)
    plan = TrialPlan.from_json(left.value.trigger.plan)
    assert plan.answers is not None and "champion 2" in plan.answers.unknown and left.value.trigger.prompts == 0


@pytest.mark.parametrize("choice", list(OnInconclusive))
def test_where_each_verdict_leads(choice: OnInconclusive):
    assert branch_of(Decision.PROMOTE, choice) == "promote"
    assert branch_of(Decision.ROLLBACK, choice) == "rollback"
    assert branch_of(Decision.ENDED_BY_HAND, choice) == "rollback"  # a version that is champion by now is left alone there
    assert branch_of(Decision.INCONCLUSIVE, choice) == {"rollback": "rollback", "promote": "promote", "hold": "hold"}[choice.value]


def test_the_verdict_is_kept_and_what_was_laid_ready_for_the_trial_goes(tmp_path: Path, task: Any):
    canary, context, branches = task
    run = Run(tmp_path, 2)
    laid = tmp_path / "digits.references.json"
    verdict = Verdict(Decision.ENDED_BY_HAND, ("Ended by hand, by ada: so.",))
    canary._conclude(run, context, verdict, 3)
    assert run.kept == [("canary", verdict, 3)] and branches == ["rollback"] and not laid.exists()


def test_how_fast_a_canary_lost_its_traffic_is_kept_where_the_demo_looks(tmp_path: Path, task: Any, monkeypatch: pytest.MonkeyPatch):
    canary, context, branches = task
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    monkeypatch.setattr("lifecycle.operators.canary.Run.of", lambda context, path: Run(tmp_path, 2))
    verdict = Verdict(Decision.ROLLBACK, ("errors: 5 of 9.",))
    canary.conclude(context, {"verdict": verdict.to_json(), "canary": "3", "withdrawn_s": 0.04})
    assert pushed[WITHDRAWN_S] == 0.04 and branches == ["rollback"]
