"""The task look: whether what production is asked has changed, and whether its answers have come to harm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperatorLink

from include.errors import ComponentError, UpdraftError
from include.kinds.load import load
from include.kinds.registry import kind_of
from include.monitoring import look, watching
from include.registry.mlflow import CHAMPION
from include.spec.schema import Task
from include.verdict import Verdict
from lifecycle.operators import texts
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, told

RECENT = 10
"""Verdicts of looks at a version, newest first, among which the last one by another run is."""


class ChangeLink(BaseOperatorLink):
    """The button "Change" on the task, in Airflow's UI: Evidently's report."""

    name = "Change"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(getattr(operator, "change_url", ""))


class Look(LifecycleOperator):
    """One look at the champion; its verdict is kept, and says NOTICE, ALARM, NOT KNOWN or PASS. It never fails for what it finds."""

    operator_extra_links = (ChangeLink(),)

    def execute(self, context: Any) -> Any:
        with told():
            run = context["dag_run"]
            return self.run(Run(f"{run.dag_id}/{run.run_id}", Path(self.spec_path), load(Path(self.spec_path)), {}), context)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        until = _moment(context["dag_run"].run_after) - look.SETTLED
        version: int | None = None
        try:
            version = run.mlflow.aliases(run.model).get(CHAMPION)
            found = self._look(run, version, until) if version is not None else _unknown(until, "nothing is in production.")
        except ComponentError as error:
            found = _unknown(until, f"{error}")
            version = None  # the next look goes on from the last one that was taken
        verdict = watching.verdict(found)
        run.keep(look.KIND, verdict, version)
        self._tell(run, verdict)
        return {"decision": verdict.decision.value, "reasons": list(verdict.reasons), "version": version}

    def _look(self, run: Run, version: int, until: datetime) -> dict[str, Any]:
        from include import predictions
        from include.predictions.known import moment

        spec = run.spec
        looks = kind_of(spec).looks(spec, run.folder)
        numbers = spec.task is Task.REGRESSION
        subject = look.Subject(run.model, version, not numbers, spec.monitor.margin, looks.expectations, looks.hidden)
        reference = look.reference_of(run.mlflow, subject, run.settings.home / "references")
        asked = {"model": run.model, "kind": look.KIND, "version": version, "limit": RECENT}
        last = look.before(run.api.get("/lifecycle/v1/verdicts", params=asked), version, run.key)
        log = look.Log(
            lambda since, before: looks.rows(predictions.read(run.settings, run.model, since, before, [version])),
            lambda: looks.labels(predictions.labels(run.settings, run.model)),
            moment,
        )
        with tempfile.TemporaryDirectory(prefix="updraft-look-") as folder:
            page = Path(folder) / Path(look.CHANGE_PAGE).name
            found = look.look(subject, log, reference, last, until, page, texts.beside(run, looks, version))
            if page.exists():
                self._show(run, version, page)
        return found

    def _show(self, run: Run, version: int, page: Path) -> None:
        """Put Evidently's report on the version's MLflow run, in place of the last look's. Without it the look is as good."""
        try:
            mlflow_run = str(run.mlflow.version(run.model, version)["run_id"])
            run.mlflow.send(mlflow_run, look.CHANGE_PAGE, page)
        except UpdraftError as error:
            self.log.warning("Evidently's report is not kept: %s", error)
            return
        self.change_url = f"{run.api.url}/lifecycle/report/{mlflow_run}/{page.name}"

    def _tell(self, run: Run, verdict: Verdict) -> None:
        for rule in verdict.rules:
            self.log.info("%s: %s (%s)", rule.name, rule.figure, rule.bar)
        for reason in verdict.reasons:
            self.log.info("%s: %s", verdict.decision.value, reason)
        dag_id, _, run_id = run.key.partition("/")
        note = f"{verdict.decision.value}. {' '.join(verdict.reasons)}"[:1000]
        run.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": note})


def _moment(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _unknown(until: datetime, why: str) -> dict[str, Any]:
    return watching.evidence(since=None, until=until.isoformat(), rows=0, unknown=[f"Harm is not known: {why}"])
