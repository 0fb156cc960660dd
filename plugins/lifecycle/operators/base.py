"""The base of the lifecycle's operators."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from include.errors import InputError, UpdraftError
from include.evidence.stopped import stopped
from include.runtime import untrusted
from include.verdict import Decision, Verdict
from lifecycle import reach
from lifecycle.run import Run, told

NO_RUN = "0" * 32
MLFLOW_RUN = re.compile(r"[0-9a-f]{32}")


class LifecycleOperator(BaseOperator):
    """One task of one model's lifecycle. Subclasses say in :meth:`run` what it does; their result is small, JSON-able, and the XCom.

    Errors that a retry can't mend fail the task at once; others are retried by Airflow.
    """

    ui_color = "#e8f1fb"
    waited_s = 0.0
    """Part of :meth:`run` that was spent waiting and not working (seconds): what `make bench-lifecycle` counts as overhead."""

    _roots: Sequence[Path] = ()
    """Folders in which other tasks of the run may say that a file lies; none for a task that reads no file."""

    def __init__(self, *, spec_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec_path = spec_path

    def execute(self, context: Any) -> Any:
        started, self.waited_s = time.monotonic(), 0.0
        with told():
            run = Run.of(context, self.spec_path)
            self._roots = reach.results(run.key, run.spec, run.folder, run.params, run.settings)
            try:
                result = self.run(run, context)
            except InputError as error:  # no retry mends it: the run ends here, and its list of verdicts says why
                self._keep_stopped(run, error)
                raise
        context["ti"].xcom_push(key="work_s", value=round(time.monotonic() - started - self.waited_s, 3))
        return result

    def _keep_stopped(self, run: Run, error: InputError) -> None:
        try:
            run.keep("stopped", stopped(self.task_id, error))
        except UpdraftError as lost:  # the task's log has the error itself all the same
            self.log.warning("Why the run stopped is in this log only: %s", lost)

    def run(self, run: Run, context: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def pulled(self, context: Mapping[str, Any], task_id: str) -> dict[str, Any]:
        """What another task of this run has returned. InputError where somebody has made it name what is not the run's: a file
        elsewhere, or a run of MLflow by anything but an id."""
        value = context["ti"].xcom_pull(task_ids=task_id)
        result = dict(value) if value else {}
        if self._roots:
            untrusted.check_paths(result, list(self._roots), f"the result of task {task_id}")
        if not MLFLOW_RUN.fullmatch(str(result.get("mlflow_run", NO_RUN))):
            raise InputError("names no run of MLflow.", where=f"the result of task {task_id}: mlflow_run", remedy="Clear that task.")
        return result

    def insist(self, verdict: Verdict) -> None:
        """Log every rule of a verdict, and fail the task for good unless it passed."""
        for rule in verdict.rules:
            mark = {True: "passed", False: "FAILED", None: "undecided"}[rule.passed]
            self.log.info("%-9s %s: %s (bar: %s) %s", mark, rule.name, rule.figure, rule.bar, rule.detail)
        if verdict.decision is not Decision.PASS:
            raise AirflowFailException("; ".join(verdict.reasons))
