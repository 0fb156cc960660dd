"""The tasks of a search for hyperparameters: search_plan, search_trial (one for each trial) and search, whose winner trains the model.

The trials stand in the platform's own tables (``/lifecycle/v1/searches``). What a trial tries follows from them alone, so a task that is
killed anywhere and tried again tries the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from include.errors import InputError, UpdraftError
from include.kinds.searched import search_plan
from include.search import order, pruning
from include.search.order import Turn
from include.search.outcomes import FILE as OUTCOMES
from include.search.plan import Plan, SearchState, Trial, best
from include.spec.parts import Resources
from include.steps.tracking import RUN_INPUT
from include.targets.fingerprint import Digests, code_digest
from include.targets.target import step_of
from lifecycle.operators.base import LifecycleOperator
from lifecycle.operators.step import StepOperator
from lifecycle.run import EXPERIMENT_PREFIX, Run

SEARCHES, TRIALS = "/lifecycle/v1/searches", "/lifecycle/v1/searches/trials"
OVER = ("failed", "upstream_failed", "skipped", "removed", "success")
"""States of a task that does nothing more for its trial."""
LONGEST_MESSAGE = 4000
LOST = "Its task ended without a word: killed, or out of memory, at each of its tries."


class SearchPlan(LifecycleOperator):
    """Binds the run's search to its space, its data and its code; the numbers of the trials are what the next task is mapped over."""

    def run(self, run: Run, context: Mapping[str, Any]) -> list[int]:
        plan = search_plan(run.spec, run.params)
        data = self.pulled(context, "snapshot_data")["md5"]
        bound = plan.to_json() | {"data": data, "code": code_of(run)}
        run.api.call("PUT", SEARCHES, json={"run_key": run.key, "model": run.model, "plan": bound})
        self.log.info("%s trials of %s by %s, %s at once.", plan.trials, ", ".join(plan.axes), plan.sampler, plan.parallel)
        return list(range(plan.trials))


class SearchTrial(StepOperator):
    """One trial: asks what to try, has it judged by a step in the runtime of the training, tells how it ended.

    A trial that fails by its own doing fails by itself: the others go on, and the task ends well.
    """

    part = "train"
    limit_field = "train.search.trial_minutes"

    def __init__(self, *, number: int, **kwargs: Any) -> None:
        inputs = {"table": "validate_data.table"}
        super().__init__(step="trial", inputs=inputs, **kwargs)
        self.number = number

    @property
    def step_name(self) -> str:
        return f"{self.step}.{self.number}"

    def limit_s(self, run: Run) -> float:
        search = run.spec.train.search
        return 60 * float(search.trial_minutes or run.spec.train.timeout_minutes * search.folds)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        plan, trials, begun = search_of(run)
        own = trials[self.number] if self.number < len(trials) else self._begin(run, context, plan, trials, begun)
        if own.state is SearchState.RUNNING:
            own = self._judged(run, context, plan, trials, own)
            own = Trial.from_json(run.api.call("PUT", TRIALS, json={"run_key": run.key} | own.to_json()))
        if own.state is not SearchState.LEFT_OUT:  # of one that ended before, too: that try may have been killed before this
            show(run, own)
        if own.state in (SearchState.FAILED, SearchState.LEFT_OUT):
            self.log.warning("Trial %s: %s. %s", own.number, own.state, own.message)
        return {"trial": own.number, "state": own.state.value, "value": own.value, "params": dict(own.params)}

    def _begin(self, run: Run, context: Mapping[str, Any], plan: Plan, trials: list[Trial], begun: Mapping[int, datetime]) -> Trial:
        """Ask what this trial and those before it try that have not begun, and keep it; or wait, without a worker's slot."""
        now, minutes = datetime.now(UTC), run.spec.train.search.minutes
        over = minutes is not None and 0 in begun and now - begun[0] > timedelta(minutes=minutes)
        match order.turn(plan, trials, self.number, time_is_over=over):
            case Turn.LEFT_OUT:
                return Trial(self.number, {}, SearchState.LEFT_OUT, message=f"The search's {minutes:g} minutes were over.")
            case Turn.WAIT:
                mend(run, context, trials[: plan.known_at(self.number)])
                ages = {number: (now - at).total_seconds() for number, at in begun.items()}
                seconds = order.wait_s(plan, trials, self.number, ages)
                self.log.info("Waits for trial(s) %s to end.", order.awaited(plan, trials, self.number)[:10])
                raise AirflowRescheduleException(now + timedelta(seconds=seconds))
        from include.search.sampler import ask

        for number in range(len(trials), self.number + 1):
            asked = Trial(number, ask(plan, trials))
            trials.append(Trial.from_json(run.api.call("PUT", TRIALS, json={"run_key": run.key} | asked.to_json())))
        return trials[self.number]

    def _judged(self, run: Run, context: Mapping[str, Any], plan: Plan, trials: list[Trial], own: Trial) -> Trial:
        """How the trial ended. Raises what a retry may mend."""
        from include.search.sampler import known

        check_code(run)
        self.log.info("Trial %s tries %s", own.number, dict(own.params))
        bars = pruning.bars(plan, known(plan, trials[: own.number])) if plan.reduction else {}
        self.params_found = dict(own.params)
        self.trial = {"number": own.number, "folds": plan.folds, "seed": plan.seed, "metric": plan.metric, "bars": list(bars.items())}
        try:
            return ended(own, super().run(run, context))
        except InputError as error:
            return replace(own, state=SearchState.FAILED, message=str(error)[:LONGEST_MESSAGE])
        except UpdraftError as error:
            if context["ti"].try_number <= self.retries:
                raise
            return replace(own, state=SearchState.FAILED, message=f"After {context['ti'].try_number} tries: {error}"[:LONGEST_MESSAGE])

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        return super().resolve(run, context) | {RUN_INPUT: mlflow_run_of(run, self.number)}

    def _resources(self, run: Run) -> Resources | None:
        """The training's, for less."""
        resources = super()._resources(run)
        return resources.model_copy(update={"priority": run.spec.train.search.priority, "preemptible": True}) if resources else None


class Search(StepOperator):
    """Chooses the best of the trials, and reckons what it is worth."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="choose", inputs={"table": "validate_data.table"}, **kwargs)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        plan, trials, _ = search_of(run)
        trials = mend(run, context, trials)
        winner = best(trials, maximize=plan.maximize)
        if winner is None:
            remedy = "See the trials' logs; mend the training or the ranges."
            raise InputError(nothing_found(trials), where="model.yaml: train.search", remedy=remedy)
        complete = [trial for trial in trials if trial.state is SearchState.COMPLETE]
        self.trial = {"metric": self._metric(run, winner), "values": [[trial.number, trial.value] for trial in complete]}
        self._outcomes = {f"trial.{trial.number}": str(step_out(run, trial.number) / OUTCOMES) for trial in complete}
        from include.search.importance import importance

        gain = json.loads(Path(super().run(run, context)["gain"]).read_text())
        mlflow_run = run.mlflow_run()
        found = {"plan": plan.to_json(), "trials": [trial.to_json() for trial in trials], "winner": winner.number, "gain": gain}
        found["importance"] = importance(plan, trials)
        run.mlflow.write(mlflow_run, "search.json", json.dumps(found).encode())
        from include.report.search import Told

        self.log.info("%s %s", dict(winner.params), " ".join(Told(found).sentences()))
        return {"params": dict(winner.params), "trial": winner.number, "value": winner.value}

    def resolve(self, run: Run, context: Mapping[str, Any]) -> dict[str, str]:
        return super().resolve(run, context) | self._outcomes

    def _metric(self, run: Run, winner: Trial) -> str:
        result = json.loads((step_out(run, winner.number).parent / "result.json").read_text())
        return str(result["metric"])


def mlflow_run_of(run: Run, number: int) -> str:
    """Return the id of a trial's own run of MLflow, below the run's."""
    key, name = f"{run.key}#{number}", f"{run.key.partition('/')[2]} trial {number}"
    return run.mlflow.ensure_run(EXPERIMENT_PREFIX + run.model, key, name, parent=run.mlflow_run())


def show(run: Run, trial: Trial) -> None:
    """Have the trial's own run of MLflow show how it ended. May be repeated."""
    child, name = mlflow_run_of(run, trial.number), run.spec.train.search.metric or "score"
    metrics = {name: [(0, trial.value)]} if trial.value is not None else {}
    run.mlflow.log(child, trial.params, metrics | {f"{name}_so_far": list(trial.steps.items())} | {"seconds": [(0, trial.seconds)]})
    run.mlflow.set_tags(child, {"updraft.trial": trial.state.value, **({"mlflow.note.content": trial.message} if trial.message else {})})
    run.mlflow.end_run(child, failed=trial.state is SearchState.FAILED)


def search_of(run: Run) -> tuple[Plan, list[Trial], dict[int, datetime]]:
    """Return what the run's search is bound to, its trials by number, and when each began."""
    found = run.api.get(SEARCHES, params={"run_key": run.key}, missing_ok=True)
    if found is None:
        raise AirflowFailException("The search has not begun: see the task search_plan.")
    begun = {row["number"]: datetime.fromisoformat(row["at"]) for row in found["trials"]}
    own = {name: found["plan"][name] for name in Plan.__dataclass_fields__}
    return Plan.from_json(own), [Trial.from_json(row) for row in found["trials"]], begun


def code_of(run: Run) -> str:
    """Return the digest of the model's code as it is now."""
    return code_digest(run.folder, Digests(run.settings.steps / ".digests"))


def check_code(run: Run) -> None:
    """Raise AirflowFailException where the model's code is no longer what the search began with: its trials would not be comparable."""
    bound = run.api.get(SEARCHES, params={"run_key": run.key})["plan"]["code"]
    if bound != code_of(run):
        raise AirflowFailException("The model's code has changed since the search began. Start a new run, or put the code back.")


def step_out(run: Run, number: int) -> Path:
    """Return the folder that the step of a trial writes to."""
    return step_of(run.settings, run.key, f"{run.kind.name}.trial.{number}").out


def mend(run: Run, context: Mapping[str, Any], trials: list[Trial]) -> list[Trial]:
    """Tell of trials whose tasks ended for good without a word (killed at each try) that they have failed; return all as they are then."""
    lost = [trial for trial in trials if trial.state is SearchState.RUNNING]
    if not lost:
        return trials
    dag_id, _, run_id = run.key.partition("/")
    found = list(trials)
    for trial in lost:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/search_trial/{trial.number}"
        task = run.api.get(path, missing_ok=True)
        if task is not None and task["state"] not in OVER:
            continue
        failed = replace(trial, state=SearchState.FAILED, message=LOST)
        found[trial.number] = Trial.from_json(run.api.call("PUT", TRIALS, json={"run_key": run.key} | failed.to_json()))
        show(run, found[trial.number])
    return found


def ended(own: Trial, result: Mapping[str, Any]) -> Trial:
    """Return the trial with what its step has found. InputError where that is no trial's result: user code can write there."""
    try:
        steps = {int(step): float(value) for step, value in result["steps"]}
        value = None if result["pruned"] else float(result["value"])
        seconds = float(result["seconds"])
        if not all(map(math.isfinite, [*steps.values(), seconds, *([] if value is None else [value])])):
            raise ValueError("not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is no result of a trial ({error}).", where="result.json", remedy="The step's code must not touch it.") from None
    return replace(
        own, state=SearchState.COMPLETE if value is not None else SearchState.PRUNED, value=value, steps=steps, seconds=max(seconds, 0.0)
    )


def nothing_found(trials: list[Trial]) -> str:
    """Say that no trial came to its end, and why the first did not."""
    why = next((trial.message for trial in trials if trial.message), "all were given up")
    return f"none of {len(trials)} trials came to its end. The first said: {why[:500]}"
