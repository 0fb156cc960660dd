"""The task report: one page about the run, kept on MLflow and linked from the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from include.canary.kept import kept as kept_looks
from include.errors import InputError
from include.events.why import WHY, reason
from include.evidence.chain import Head
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run

if TYPE_CHECKING:
    from include.report.data import ReportData

PAGE = "report.html"
EVIDENCE_TAG = "updraft.evidence"
"""The end of the chain over all verdicts and looks, as it was when the run ended."""


class ReportLink(BaseOperatorLink):
    """The button "Report" on the task, in Airflow's UI."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(getattr(operator, "report_url", ""))


class MlflowLink(BaseOperatorLink):
    """The button "MLflow run"."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(getattr(operator, "mlflow_url", ""))


class Report(LifecycleOperator):
    """Gathers what the run has left behind, renders it, stores it; runs whatever became of the run."""

    operator_extra_links = (ReportLink(), MlflowLink())

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, Any]:
        from include.report.collect import collect
        from include.report.render import render

        mlflow_run = run.mlflow_run()
        dag_id, _, run_id = run.key.partition("/")
        data = collect(
            run_key=run.key,
            spec=run.spec,
            verdicts=run.api.get("/lifecycle/v1/verdicts", params={"run_key": run.key}),
            looks=kept_looks(run.api, run.key),
            mlflow_run=run.mlflow.run(mlflow_run),
            artifacts=_artifacts(run, mlflow_run),
            curves={name: run.mlflow.history(mlflow_run, name) for name in run.kind.curves},
            began=run.api.get("/lifecycle/v1/began", params={"run_key": run.key})["why"],
            tasks=run.api.task_instances(dag_id, run_id),
            gpus=_gpus(run, dag_id),
        )
        run.mlflow.write(mlflow_run, PAGE, render(data).encode())
        # Beside the tables that it is about, and kept by another owner: whoever writes the chain anew can't reach this (`--anchor`).
        run.mlflow.set_tags(mlflow_run, {EVIDENCE_TAG: str(Head(**run.api.get("/lifecycle/v1/history", params={"limit": 1})["head"]))})
        # Airflow asks the links right after this, in this process, and keeps their answers.
        self.report_url = url = f"{run.api.url}/lifecycle/report/{mlflow_run}"
        self.mlflow_url = run.mlflow.run_page(mlflow_run)
        result = data.result
        self._show_in_mlflow(run, mlflow_run, data)
        note = f"{result.label}. {result.sentence} {data.began} {' '.join(result.reasons)}"[:1000].replace("\n", " ")
        why = reason(str(context["dag_run"].note or ""))
        note += f"\n{WHY}{why}" if why else ""
        run.api.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"note": note})
        self.log.info("%s The report: %s", note, url)
        return {"outcome": result.label, "report": url}

    def _show_in_mlflow(self, run: Run, mlflow_run: str, data: ReportData) -> None:
        """Name MLflow's run by what became of its version, with the reasons and links; describe the version."""
        from include.report.mlflow_words import mlflow_words

        dag_id, _, run_id = run.key.partition("/")
        page = f"{run.settings.airflow_url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"
        found = mlflow_words(data, self.report_url, page)
        run.mlflow.rename(mlflow_run, found.name, found.note)
        run.mlflow.set_tags(mlflow_run, {"updraft.outcome": data.result.label, "updraft.began": data.began})
        if data.version is not None:
            run.mlflow.describe(run.model, data.version, found.version, found.model)


def _gpus(run: Run, dag_id: str) -> list[dict[str, Any]]:
    """What this model's tasks and revisions have used of the GPU memory that they asked for, over their latest leases."""
    rows = run.api.call("GET", "/gpu-pool/v1/sizes", missing_ok=True) or []
    return [row for row in rows if row["work"].startswith(f"{dag_id}/") or row["work"] == f"revision/{run.model}"]


def _artifacts(run: Run, mlflow_run: str) -> dict[str, Any]:
    """The JSON artifacts that the steps have left on the MLflow run, by name; a run that ended early has fewer."""
    found = {}
    for name, path in run.kind.artifacts.items():
        try:
            found[name] = json.loads(run.mlflow.read(mlflow_run, path))
        except (InputError, ValueError, RecursionError):  # a step writes them, and may write anything
            continue
    return found
