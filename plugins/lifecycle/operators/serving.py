"""Operators for DAGs of one's own that change what serves. They call `/serving/v1`: each change is refused, or kept with who and why, as
one by hand is. docs/howto.md#release-from-a-dag-of-my-own shows them at work."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.errors import ComponentError, InputError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.registry.mlflow import CHAMPION
from include.runtime.settings import Settings
from include.spec.parts import NAME
from include.spec.schema import Spec
from include.verdict import Decision, Verdict
from lifecycle.operators.release import production
from lifecycle.run import airflow_api, keep_verdict, mlflow, told
from lifecycle.triggers.canary import CanaryTrigger
from lifecycle.triggers.serving import HealthyTrigger

PATH = "/serving/v1/models"
LONGEST_WHY = 1000
WAIT = timedelta(hours=1)


class ServingOperator(BaseOperator):
    """One change of what serves of ``model``, because of ``why``; the run that makes it is named with it."""

    template_fields: Sequence[str] = ("model", "version", "why")
    ui_color = "#f3e8fb"

    def __init__(self, *, model: str, version: int | str = 0, why: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model, self.version, self.why = model, version, why

    def reason(self, context: Mapping[str, Any]) -> str:
        """Why, with the run's name."""
        run = context["dag_run"]
        return f"{self.why or 'A DAG asks for it.'} (run {run.dag_id}/{run.run_id}, task {self.task_id})"[:LONGEST_WHY]

    def path(self) -> str:
        """The model's place in the API. InputError for what is no name: of a template's making, it could lead to any other place."""
        if not re.fullmatch(NAME, str(self.model)):
            raise InputError(f"{self.model!r:.80} is no model's name.", where=f"task {self.task_id}: model", remedy="Use the spec's name.")
        return f"{PATH}/{self.model}"

    def number(self) -> int:
        """The version. InputError for what is none."""
        if not str(self.version).isdigit() or int(self.version) < 1:
            raise InputError(f"{self.version!r} is no version.", where=f"task {self.task_id}: version", remedy="Use the registry's number.")
        return int(self.version)


class DeployRevision(ServingOperator):
    """Deploy a registered version beside what serves, without traffic. Ends at once: :class:`WaitForHealthy` waits for it.

    Returns ``{model, version, entry}``; one that is deployed already is left as it is (``entry`` None). Safe to repeat.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            body = {"version": self.number(), "why": self.reason(context)}
            return _told(airflow_api().post(f"{self.path()}/deploy", body))


class StopRevision(ServingOperator):
    """Stop a version's server until it is started again; ``delete``: take it away altogether (refused for a champion). Safe to repeat."""

    def __init__(self, *, delete: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.delete = delete

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            path = f"{self.path()}/revisions/{self.number()}"
            if self.delete:
                done = airflow_api().call("DELETE", path, params={"why": self.reason(context)}, missing_ok=True)
                return _told(done or {"model": self.model, "version": self.number(), "entry": None})
            return _told(airflow_api().post(f"{path}/stop", {"why": self.reason(context)}))


class SetTraffic(ServingOperator):
    """Share a model's traffic: ``weights`` is percent by version, 100 in all; templates may stand in both. ``promote``: the version that
    gets all of it becomes champion. In force when the task ends. Safe to repeat."""

    template_fields = (*ServingOperator.template_fields, "weights")

    def __init__(self, *, weights: Mapping[str, Any], promote: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weights, self.promote = dict(weights), promote

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            # Airflow renders what stands in a mapping, and not by what it is found.
            named = {str(self.render_template(version, context)): percent for version, percent in self.weights.items()}
            weights = {version: _percent(percent, self.task_id) for version, percent in named.items()}
            body = {"weights": weights, "promote": self.promote, "why": self.reason(context)}
            return _told(airflow_api().call("PUT", f"{self.path()}/split", json=body)) | {"weights": weights}


class ScaleModel(ServingOperator):
    """Say how many servers a model shall have, within its spec's `serve.replicas`; a template may stand in ``replicas``. Ends at once: they
    come within seconds, as far as there is room. Safe to repeat."""

    template_fields = (*ServingOperator.template_fields, "replicas")

    def __init__(self, *, replicas: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.replicas = replicas

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            if not str(self.replicas).isdigit():
                where = f"task {self.task_id}: replicas"
                raise InputError(f"{self.replicas!r:.80} is no number of servers.", where=where, remedy="Use a whole number from 1.")
            body = {"replicas": int(self.replicas), "why": self.reason(context)}
            return _told(airflow_api().post(f"{self.path()}/scale", body)) | {"replicas": int(self.replicas)}


class WaitForHealthy(ServingOperator):
    """Wait, deferred, until a version runs and is ready: no worker slot is held. Fails after ``timeout``, with what was said last, and at
    once for a version that nobody wants to run."""

    def __init__(self, *, timeout: timedelta = WAIT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timeout = timeout

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            path = f"{self.path()}/revisions/{self.number()}"
            row = airflow_api().get(path)
            runs = healthy(row)
        if runs:
            return {"model": self.model, "version": row["version"], "state": row["state"]}
        self.log.info("Version %s of %s is %s. %s", row["version"], self.model, row["state"], row["message"])
        self.defer(trigger=HealthyTrigger(path=path, timeout_s=self.timeout.total_seconds()), method_name="conclude")
        raise AssertionError("deferred")

    def conclude(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Called with the trigger's event."""
        row = event["row"]
        if not event["healthy"]:
            raise AirflowFailException(
                f"Version {row['version']} of {self.model} is {row['state']}: {row['message'] or 'nothing was said.'}"
            )
        return {"model": self.model, "version": row["version"], "state": row["state"]}


class RunCanary(ServingOperator):
    """Put a deployed version on trial against the champion with real traffic, as the model's spec says (`canary`), deferred while it lasts.

    PROMOTE makes it champion. Any other decision gives all traffic back to the champion, ends the version's server, and fails the task with
    the judge's reasons unless ``fail`` is false. Returns ``{version, decision, reasons}``.
    """

    def __init__(self, *, fail: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail = fail

    def execute(self, context: Any) -> dict[str, Any]:
        with told():
            path, version, spec = f"{self.path()}/revisions/{self.number()}", self.number(), _spec(self.model)
            champion = mlflow().aliases(self.model).get(CHAMPION)
            if champion is None or champion == version:
                what = "nothing of it is champion" if champion is None else f"version {version} is the champion"
                raise InputError(f"{what}: there is nothing to try it against.", where=self.model, remedy="SetTraffic gives it traffic.")
            row = airflow_api().get(path)
            if not healthy(row):
                raise ComponentError(f"version {version} is {row['state']}.", where=self.model, remedy="WaitForHealthy comes before it.")
            production(self.model, Settings.load()).challenge(version)
        run = context["dag_run"]
        self.defer(
            trigger=CanaryTrigger(
                run_key=f"{run.dag_id}/{run.run_id}",
                model=self.model,
                stable=str(champion),
                canary=str(version),
                plan=kind_of(spec).trial_plan(spec.canary).to_json(),
                mirror_s=spec.canary.mirror_s,
            ),
            method_name="conclude",
        )
        raise AssertionError("deferred")

    def conclude(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Called with the trigger's event when the judge has decided."""
        verdict, version, run = Verdict.from_json(event["verdict"]), int(event["canary"]), context["dag_run"]
        with told():
            spec, site = _spec(self.model), production(self.model, Settings.load())
            keep_verdict(airflow_api(), f"{run.dag_id}/{run.run_id}", "canary", self.model, verdict, version)
            if verdict.decision is Decision.PROMOTE:
                site.promote(version, spec.serve.drain_s, spec.serve.standby_s)
            else:
                site.rollback(version, spec.serve.drain_s)
        words = f"{verdict.decision.value}: {' '.join(verdict.reasons)}"
        self.log.info(words)
        if verdict.decision is not Decision.PROMOTE and self.fail:
            raise AirflowFailException(words)
        return {"version": version, "decision": verdict.decision.value, "reasons": list(verdict.reasons)}


class Reconcile(BaseOperator):
    """Show what is wanted beside what is, in the task's log; ``repair``: have what waits for its next try tried at once.

    Returns the rows that are not as they are wanted.
    """

    template_fields = ("model", "why")

    def __init__(self, *, model: str = "", why: str = "", repair: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model, self.why, self.repair = model, why, repair

    def execute(self, context: Any) -> list[dict[str, Any]]:
        model = str(self.model or "")
        with told():
            api, run = airflow_api(), context["dag_run"]
            if self.repair:
                why = f"{self.why or 'By hand.'} (run {run.dag_id}/{run.run_id})"[:LONGEST_WHY]
                api.post("/serving/v1/reconcile", {"why": why} | ({"model": model} if model else {}))
            found = api.get("/serving/v1/reconcile", params={"model": model} if model else {})
        if not found["reconciler"]["alive"]:
            self.log.warning("Nobody reconciles: the program lease-keeper does not run. See `make status`.")
        for row in found["rows"]:
            self.log.info("%(model)s %(version)s: wanted %(wanted)s by %(who)s, is %(state)s, step %(step)s. %(reason)s", row)
        return [row for row in found["rows"] if row["state"] != row["wanted"]]


def healthy(row: Mapping[str, Any]) -> bool:
    """Whether a revision, as `/serving/v1` tells of it, runs and is to run. InputError for one that nobody wants to run."""
    if row["wanted"] != "running":
        raise InputError(f"version {row['version']} is {row['wanted']} on purpose.", where=row["model"], remedy="Start it first.")
    return bool(row["state"] == "running")


def _spec(model: str) -> Spec:
    path = Settings.load().models / model / "model.yaml"
    if not path.exists():
        raise InputError(f"there is no model {model!r}.", where="model", remedy=f"Its spec would be {path}.")
    return load(path)


def _percent(value: Any, task_id: str) -> int:
    if isinstance(value, bool) or not str(value).isdigit():
        raise InputError(f"{value!r} is no percent.", where=f"task {task_id}: weights", remedy="Use whole numbers from 0 to 100.")
    return int(value)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": row["model"], "version": row["version"], "entry": row["entry"]}
