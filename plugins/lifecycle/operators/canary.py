"""The task canary: puts the new revision on trial with real traffic, and branches by the judge's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.branch import BranchMixIn

from include.canary.verdicts import first_version
from include.registry.mlflow import CHAMPION
from include.release import references
from include.spec.schema import OnInconclusive
from include.verdict import Decision, Verdict
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, told
from lifecycle.triggers.canary import CanaryTrigger

if TYPE_CHECKING:
    from include.canary.plan import AnswersPlan
    from include.gates.evaluation import Evaluation

WITHDRAWN_S = "withdrawn_s"
"""XCom of the task: seconds from a rollback's verdict to the canary's having no traffic any more."""


class Canary(LifecycleOperator, BranchMixIn):
    """Deferred while the trial runs: no worker slot is held. Returns the task to go on with: promote, rollback or hold."""

    inherits_from_skipmixin = True

    def run(self, run: Run, context: Mapping[str, Any]) -> Any:
        version = int(self.pulled(context, "register")["version"])
        champion = run.mlflow.aliases(run.model).get(CHAMPION)
        if champion in (None, version):
            known = None if champion is None else int(champion)
            return self._conclude(run, context, first_version(known, version), version)
        self.log.info("Version %s is on trial against champion %s: %s %% of traffic.", version, champion, list(run.spec.canary.steps))
        answers = run.kind.answers_plan(run.spec.canary, self._evaluation(context), str(champion))
        questions = self._requests(run, answers) if answers else self._questions(run, int(champion), version)
        self.defer(
            trigger=CanaryTrigger(
                run_key=run.key,
                model=run.model,
                stable=str(champion),
                canary=str(version),
                plan=replace(run.kind.trial_plan(run.spec.canary), answers=answers).to_json(),
                mirror_s=run.spec.canary.mirror_s,
                **questions,
            ),
            method_name="conclude",
        )

    def _evaluation(self, context: Mapping[str, Any]) -> Evaluation | None:
        """What `evaluate` found of both versions on the held-out rows; None when it is not at hand."""
        from include.gates.evaluation import Evaluation

        evaluated = self.pulled(context, "evaluate") or {}
        try:
            return Evaluation.read(Path(evaluated["evaluation"]))
        except (OSError, KeyError, ValueError) as error:
            self.log.warning("What the versions answer on the held-out rows is not known: %s", error)
            return None

    @staticmethod
    def _requests(run: Run, answers: AnswersPlan) -> dict[str, Any]:
        """How many live requests of a table's model both arms are asked; none without anything to hold the answers against."""
        log = run.spec.monitor.log
        asked = {"prompts": answers.requests, "prompt_share": answers.share, "hidden": [*log.redact, *log.hash]}
        return asked if answers.judged else {}

    def _questions(self, run: Run, champion: int, version: int) -> dict[str, Any]:
        """How many live prompts of a language model both arms are asked; the right answers to those that are known are laid ready."""
        prompts, share = run.kind.questions(run.spec.canary)
        if not prompts:
            return {}
        from include.data.store import DataStore

        path = references.path_of(run.settings.trials, run.model)
        for problem in references.gather(run.mlflow, DataStore.of(run.settings), run.model, (champion, version), path):
            self.log.warning("%s", problem)
        return {"prompts": prompts, "prompt_share": share}

    def conclude(self, context: Any, event: dict[str, Any]) -> Any:
        """Called with the trigger's event when the judge has decided."""
        with told():
            run = Run.of(context, self.spec_path)
            if (seconds := event.get("withdrawn_s")) is not None:
                context["ti"].xcom_push(key=WITHDRAWN_S, value=seconds)
                self.log.info("The gateway sent version %s nothing more %.3f s after the judge's word.", event["canary"], seconds)
            return self._conclude(run, context, Verdict.from_json(event["verdict"]), int(event["canary"]))

    def _conclude(self, run: Run, context: Mapping[str, Any], verdict: Verdict, version: int) -> Any:
        for reason in verdict.reasons:
            self.log.info("%s: %s", verdict.decision, reason)
        run.keep("canary", verdict, version)
        references.path_of(run.settings.trials, run.model).unlink(missing_ok=True)
        context["ti"].xcom_push(key="reasons", value=list(verdict.reasons))
        return self.do_branch(dict(context), branch_of(verdict.decision, run.spec.canary.on_inconclusive))  # type: ignore[arg-type]


def branch_of(decision: Decision, on_inconclusive: OnInconclusive) -> str:
    """The task that a trial's decision leads to."""
    if decision is Decision.PROMOTE:
        return "promote"
    if decision is Decision.INCONCLUSIVE:
        return on_inconclusive.value
    return "rollback"
